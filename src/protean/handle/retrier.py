"""Trying again what failed and is due: from the failures table, on a thread of its own, one lane each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from protean.exceptions import BrokerError, DatabaseError
from protean.handle.executor import Executor
from protean.ports.database import Database
from protean.ports.progress import Failure, FailureFilter, FailureState

logger = logging.getLogger(__name__)

#: Seconds between looks for what is due.
LOOK_INTERVAL = 1.0
#: Seconds a claimed failure belongs to its claimer; a crash delays the next attempt by at most this.
LEASE = 30.0


def _at_once(_stopping: threading.Event) -> None:
    """Production's retries wait for nobody."""


class Retrier:
    """Serves one lane, or with None whatever there is.

    `yield_to_production` is called before each retry; `bury` with a failure that was its last.
    """

    def __init__(
        self,
        database: Database,
        lane: str | None,
        executors: Mapping[str, Executor],
        bury: Callable[[Failure], None],
        yield_to_production: Callable[[threading.Event], None] = _at_once,
    ) -> None:
        self._database = database
        self._executors = executors
        self._which = FailureFilter(handlers=tuple(executors), lane=lane, state=FailureState.WAITING)
        self._bury = bury
        self._yield = yield_to_production

    def run(self, stopping: threading.Event) -> None:
        """Retry what is due until `stopping` is set."""
        while not stopping.wait(LOOK_INTERVAL):
            try:
                while not stopping.is_set() and self.retry_next(stopping):
                    pass
            except (DatabaseError, BrokerError) as error:
                logger.warning("Retries of the %s lane wait: %s", self._which.lane, error)

    def retry_next(self, stopping: threading.Event) -> bool:
        """Retry the one that is due longest; whether there was one.

        One at a time, claimed when its turn has come: a claim counts as an attempt, and runs out.
        """
        self._yield(stopping)
        claimed = self._claim()
        for failure in claimed:
            self._retry(failure)
        return bool(claimed)

    def _claim(self) -> list[Failure]:
        transaction = self._database.transaction()
        try:
            claimed = transaction.failures.claim(self._which, 1, LEASE)
            transaction.commit()
        finally:
            transaction.rollback()
        return claimed

    def _retry(self, failure: Failure) -> None:
        left = self._executors[failure.handler].retry(failure)
        head = (failure.handler, failure.message_type, failure.message_id[:8])
        if left is None:
            logger.info("[%s] Processing %s (ID: %s...) -- succeeded at attempt %d", *head, failure.attempts)
        elif left.state is FailureState.DEAD:
            logger.error(
                "[%s] Processing %s (ID: %s...) -- dead after %d attempts: %s: %s",
                *head,
                left.attempts,
                left.error_type,
                left.error,
            )
            self._bury(left)
        else:
            logger.warning(
                "[%s] Processing %s (ID: %s...) -- failed, attempt %d, again at %s: %s: %s",
                *head,
                left.attempts,
                f"{left.due_at:%H:%M:%S}",
                left.error_type,
                left.error,
            )
