"""Trying again what failed and is due: from the failures table, on a thread of its own, one lane each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from protean import crash
from protean.clock import utc_now
from protean.exceptions import BrokerError, DatabaseError, DatabaseUnavailableError, TransientDatabaseError
from protean.handle.executor import Executor
from protean.ports.database import Database
from protean.ports.progress import Failure, FailureFilter, FailureState
from protean.ports.signals import SILENCE, Signals
from protean.rounds import Rounds
from protean.wording import counted

logger = logging.getLogger(__name__)

#: Seconds between looks for what is due.
LOOK_INTERVAL = 1.0
#: Seconds a claimed failure belongs to its claimer; a crash delays the next attempt by at most this.
LEASE = 30.0
#: Failures of one handler that are retried before the next handler's turn. More lets others wait longer behind ten
#: thousand of one handler, fewer asks the database more often who is next.
TURN = 20


def at_once(_stopping: threading.Event) -> None:
    """Production's retries wait for nobody."""


def unpaused(_handler: str) -> bool:
    """Nobody has said that a handler must rest."""
    return False


class Retrier:
    """Serves one lane, or with None whatever there is.

    `yield_to_production` is called before each retry, `bury` with a failure that was its last; `paused` tells of a
    handler whether it must rest.
    """

    def __init__(
        self,
        database: Database,
        lane: str | None,
        executors: Mapping[str, Executor],
        bury: Callable[[Failure], None],
        *,
        yield_to_production: Callable[[threading.Event], None] = at_once,
        signals: Signals = SILENCE,
        paused: Callable[[str], bool] = unpaused,
    ) -> None:
        self._database = database
        self._executors = executors
        self._which = FailureFilter(lane=lane, state=FailureState.WAITING)
        self._bury = bury
        self._yield = yield_to_production
        self._signals = signals
        self._paused = paused
        self._interrupted: Failure | None = None
        self._waits = False
        self._tried = 0
        self.rounds = Rounds()

    def run(self, stopping: threading.Event) -> None:
        """Retry what is due until `stopping` is set."""
        crash.on_lane(self._which.lane)
        while not stopping.wait(LOOK_INTERVAL):
            before = self._tried
            try:
                self.drain(stopping)
            except (DatabaseError, BrokerError) as error:
                self.rounds.failed(error)
                if not self._waits:
                    logger.warning("Retries of the %s lane wait: %s", self._which.lane or "only", error)
                self._waits = True
            else:
                self.rounds.done(f"{counted(self._tried - before, 'failure')} retried")
                self._waits = False

    def drain(self, stopping: threading.Event) -> None:
        """Retry all that is due, some of each handler in turn, until nothing is or `stopping` is set."""
        served: set[str] = set()
        while not stopping.is_set():
            handler = self._retry_one(self._executors.keys() - served, stopping)
            if handler is None and not served:
                return
            if handler is None:
                served.clear()  # everybody who has something due has had a turn
                continue
            served.add(handler)
            for _ in range(TURN - 1):
                if stopping.is_set() or self._retry_one([handler], stopping) is None:
                    break

    def retry_next(self, stopping: threading.Event) -> bool:
        """Retry the one that is due longest, whosever it is; whether there was one."""
        return self._retry_one(self._executors.keys(), stopping) is not None

    def _retry_one(self, handlers: Collection[str], stopping: threading.Event) -> str | None:
        """Retry the one of these handlers' that is due longest; whose it was, None if there was none.

        One at a time, claimed when its turn has come: a claim counts as an attempt, and runs out. Handlers whose
        breaker is open are left out, and claim nothing.
        """
        self._yield(stopping)
        self._give_back()
        able = (name for name in handlers if not self._executors[name].rests_for() and not self._paused(name))
        ready = tuple(sorted(able))
        claimed = self._claim(ready) if ready else []
        for failure in claimed:
            self._retry(failure)
            return failure.handler
        return None

    def _claim(self, handlers: tuple[str, ...]) -> list[Failure]:
        """Of a handler in doubt one without a failed attempt first: another's failing again would not tell much."""
        doubted = tuple(name for name in handlers if self._executors[name].doubted)
        transaction = self._database.transaction()
        try:
            claimed = []
            if doubted:
                unspent = replace(self._which, handlers=doubted, attempts=0)
                claimed = transaction.failures.claim(unspent, 1, LEASE)
            if not claimed:
                claimed = transaction.failures.claim(replace(self._which, handlers=handlers), 1, LEASE)
            transaction.commit()
        finally:
            transaction.rollback()
        return claimed

    def _give_back(self) -> None:
        """Uncount the attempt that the database broke off: that was not the message's doing."""
        if self._interrupted is None:
            return
        transaction = self._database.transaction()
        try:
            transaction.failures.give_back(self._interrupted, utc_now())
            transaction.commit()
        finally:
            transaction.rollback()
        self._interrupted = None

    def _retry(self, failure: Failure) -> None:
        self._tried += 1
        try:
            left = self._executors[failure.handler].retry(failure)
        except (DatabaseUnavailableError, TransientDatabaseError):
            self._interrupted = failure
            raise
        self._report(failure, left)
        if self._signals.tracing:
            self._signals.retried(failure, left)
        if left is not None and left.state is FailureState.DEAD:
            self._bury(left)

    def _report(self, failure: Failure, left: Failure | None) -> None:
        head = (failure.handler, failure.message_type, failure.message_id[:8])
        if left is None and failure.discarded_by is not None:
            crash.point("redrive.applied")
            logger.warning(
                "[%s] Processing %s (ID: %s...) -- never, discarded by %s: %s",
                *head,
                failure.discarded_by,
                failure.discard_reason,
            )
        elif left is None:
            crash.point("redrive.applied")
            logger.info("[%s] Processing %s (ID: %s...) -- succeeded at attempt %d", *head, failure.attempts)
        elif left.last_failed_at == failure.last_failed_at:
            logger.debug("[%s] Processing %s (ID: %s...) -- not tried, the breaker is open", *head)
        elif left.state is FailureState.DEAD:
            logger.error(
                "[%s] Processing %s (ID: %s...) -- dead after %s: %s: %s",
                *head,
                counted(left.attempts, "attempt"),
                left.error_type,
                left.error,
            )
        else:
            logger.warning(
                "[%s] Processing %s (ID: %s...) -- failed, attempt %d, again at %s: %s: %s",
                *head,
                left.attempts,
                f"{left.due_at:%H:%M:%S}",
                left.error_type,
                left.error,
            )
