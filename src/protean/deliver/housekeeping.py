"""Forgetting what is over: in small transactions, so that nobody waits for the broom."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from protean import crash
from protean.clock import utc_now
from protean.deliver.floors import FloorKeeper
from protean.exceptions import BrokerError, DatabaseError
from protean.ports.database import Database, Transaction
from protean.ports.progress import FailureFilter, FailureState
from protean.ports.recovery import Interest, Standing
from protean.rounds import Rounds
from protean.wording import counted

logger = logging.getLogger(__name__)

#: Seconds between sweeps.
SWEEP_INTERVAL = 60.0
#: Rows in one transaction. More sweeps faster and holds its locks longer.
BATCH = 5_000
#: Seconds of rest between the transactions of one sweep.
REST = 0.1
#: How long a failure that a person has discarded can be looked up.
FAILURE_RETENTION = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is over is kept: published outbox rows, notes of what was handled, keys and results of commands."""

    outbox: timedelta = timedelta(hours=24)
    inbox: timedelta = timedelta(hours=24)
    keys: timedelta = timedelta(days=7)
    results: timedelta = timedelta(days=7)
    operations: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep has removed, in rows; `raised`: by how many global positions floors have risen."""

    outbox: int = 0
    inbox: int = 0
    keys: int = 0
    results: int = 0
    failures: int = 0
    operations: int = 0
    raised: int = 0

    @property
    def rows(self) -> int:
        return self.outbox + self.inbox + self.keys + self.results + self.failures + self.operations


class Housekeeping:
    """Prunes one database, and raises the floors below which it may be pruned.

    The inbox comes before the floors, so that a row goes at the earliest one sweep after the floor has passed it: a
    statement that began before the floor rose, and does not see it, has ended by then.

    `foreign` tells of each subscriber the place of the oldest entry that is still on its stream; raises BrokerError.
    """

    def __init__(
        self,
        database: Database,
        retention: Retention,
        interests: Sequence[Interest] = (),
        keeper: FloorKeeper | None = None,
        foreign: Mapping[str, Callable[[], int]] | None = None,
    ) -> None:
        self._database = database
        self._retention = retention
        self._interests = interests
        self._keeper = keeper
        self._foreign = foreign or {}
        self.rounds = Rounds()

    def run(self, stopping: threading.Event) -> None:
        """Sweep now and then until `stopping` is set."""
        while not stopping.wait(SWEEP_INTERVAL):
            try:
                swept = self.sweep(stopping)
            except (DatabaseError, BrokerError) as error:
                self.rounds.failed(error)
                logger.warning("What is over stays in the database for now: %s", error)
            else:
                self.rounds.done(f"{counted(swept.rows, 'row')} pruned, floors raised by {swept.raised:,}")
                if swept.rows:
                    logger.info(
                        "Pruned %d published outbox rows, %d inbox rows, %d idempotency keys, %d results of commands, "
                        "%d archived failures, %d operations on record",
                        swept.outbox,
                        swept.inbox,
                        swept.keys,
                        swept.results,
                        swept.failures,
                        swept.operations,
                    )

    def sweep(self, stopping: threading.Event) -> Swept:
        """Prune all there is to prune, batch by batch, then raise the floors. Raises DatabaseError and BrokerError."""
        now, kept = utc_now(), self._retention
        # An archived failure is due since it was archived.
        archived = FailureFilter(state=FailureState.ARCHIVED, due_before=now - FAILURE_RETENTION)
        return Swept(
            outbox=self._in_batches(stopping, lambda: self._database.outbox.prune(now - kept.outbox, BATCH)),
            inbox=self._inboxes(stopping) + self._foreign_inboxes(stopping),
            keys=self._pruned(stopping, lambda it: it.idempotency_keys.prune(now - kept.keys, BATCH)),
            results=self._pruned(stopping, lambda it: it.command_results.prune(now - kept.results, BATCH)),
            failures=self._pruned(stopping, lambda it: it.failures.prune(archived, BATCH)),
            operations=self._pruned(stopping, lambda it: it.control.prune(now - kept.operations, BATCH)),
            raised=self._keeper.raise_floors(stopping) if self._keeper is not None else 0,
        )

    def _in_batches(self, stopping: threading.Event, prune: Callable[[], int]) -> int:
        """Prune until a batch is not full; how many rows."""
        total = 0
        while not stopping.is_set():
            pruned = prune()
            total += pruned
            if pruned < BATCH:
                break
            crash.point("cleanup.mid")
            stopping.wait(REST)
        return total

    def _pruned(self, stopping: threading.Event, prune: Callable[[Transaction], int]) -> int:
        """The same, with a transaction for each batch."""

        def batch() -> int:
            transaction = self._database.transaction()
            try:
                pruned = prune(transaction)
                transaction.commit()
            finally:
                transaction.rollback()
            return pruned

        return self._in_batches(stopping, batch)

    def _inboxes(self, stopping: threading.Event) -> int:
        """Forget what handlers have handled below their floors and long enough ago; how many rows."""
        unordered = {interest.handler: interest for interest in self._interests if not interest.sequenced}
        if not unordered:
            return 0
        standings = [each for each in self._database.recovery.standings() if each.handler in unordered]
        return sum(self._inbox(unordered[standing.handler], standing, stopping) for standing in standings)

    def _foreign_inboxes(self, stopping: threading.Event) -> int:
        """Forget what subscribers have handled and its owner has removed; how many rows.

        A broker that is away is left for the next sweep: it is somebody else's, and holds up nothing here.
        """
        total = 0
        for handler, oldest in self._foreign.items():
            try:
                below = oldest()
            except BrokerError as error:
                logger.debug("What %s has handled stays in the inbox for now: %s", handler, error)
                continue
            total += self._pruned(stopping, partial(_forget, handler=handler, below=below))
        return total

    def _inbox(self, interest: Interest, standing: Standing, stopping: threading.Event) -> int:
        before, after, total = utc_now() - self._retention.inbox, standing.start, 0
        while not stopping.is_set():
            step = self._database.recovery.prune_inbox(interest, standing, before, after, BATCH)
            total += step.rows
            if step.upto is None:
                break
            after = step.upto
            crash.point("cleanup.mid")
            stopping.wait(REST)
        return total


def _forget(transaction: Transaction, handler: str, below: int) -> int:
    return transaction.inbox.forget(handler, below, BATCH)
