"""From the outbox to the streams: one relay thread per database, target broker and lane.

Publish, then mark, in one transaction that began with the claim: a crash in between publishes twice, which
handlers absorb; the other order would lose. Rows are found by their status, never by an id above the last one
seen (late commits have lower ids) and never below a snapshot (one long transaction would stop everything).

Every batch is counted, on the broker after its entries, in the database with their marks. A broker whose count is
behind the database's has lost something; that is written down with the marks, and `deliver/reconciling.py` acts on it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from protean import codec, crash
from protean.clock import utc_now
from protean.deliver.activity import Activity, State
from protean.deliver.gate import GateSlot, Passage
from protean.exceptions import BrokerError, BrokerUnavailableError, DatabaseError
from protean.ports.broker import BEHIND, Publisher
from protean.ports.outbox import Claim, Outbox, OutboxBatch, OutboxRow
from protean.ports.signals import SILENCE, Signals
from protean.ports.telemetry import UNTRACED, Telemetry

logger = logging.getLogger(__name__)

#: Seconds between polls when no bell rings. Longer saves idle SQL and delays rows whose ring was lost.
POLL_INTERVAL = 0.25
#: The same while another engine's relay has the lane: how late this one takes over from it, at most, if nobody rings.
STANDBY_INTERVAL = 1.0
#: Seconds that production's relay keeps the lane gate closed behind itself: what it has published is then in the
#: hands of a subscription, which closes the gate itself. Longer costs backfill, shorter lets it slip in between.
GATE_LINGER = 0.004
#: Seconds that a backfill's batch aims at beside production; its rows are locked, and a core is busy, that long.
BATCH_TIME = 0.005
#: Rows of a batch at least, however long they take: below, the claim itself is what takes the time.
SMALLEST_BATCH = 20
#: Seconds to wait after the broker or the database failed: doubles from the first to the last.
BACKOFF_FIRST, BACKOFF_LAST = 0.1, 5.0
#: Attempts of a row that the broker itself refuses before the row is given up as failed.
MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """`batch`: rows per claim; more is faster and holds locks longer. `pause`: seconds between full batches.

    `gather`: seconds that rows are left to gather before the next look, on a lane that is in no hurry: one batch of 50
    costs a fiftieth of the commits of 50 batches.
    """

    batch: int = 100
    pause: float = 0.0
    gather: float = 0.0


class Relay:
    """Publishes the pending rows of one claim. `route` names a row's stream; None: nobody listens, mark only.

    Production's relay has a `slot` of the lane gate and closes it from the bell on: so a group commit of the backfill
    is out of the way when the event arrives at its handler. The backfill's has a `passage` through the gate.
    """

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        claim: Claim,
        route: Callable[[OutboxRow], str | None],
        *,
        settings: RelaySettings = RelaySettings(),
        slot: GateSlot | None = None,
        passage: Passage | None = None,
        signals: Signals = SILENCE,
        telemetry: Telemetry = UNTRACED,
    ) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._claim = claim
        self._route = route
        self._settings = settings
        self._slot = slot
        self._passage = passage
        self._signals = signals
        self._telemetry = telemetry
        self._bell = threading.Event()
        self._backoff = 0.0
        self._standby = False
        self._waiting: Activity | None = None
        self._limit = settings.batch

    @property
    def activity(self) -> Activity:
        """What it waits for, if it does; it is never at one batch for long. On standby that is the other's to say."""
        return (None if self._standby else self._waiting) or Activity()

    def wake(self) -> None:
        """There is something new. During a batch it means: look again afterwards."""
        self._bell.set()

    def run(self, stopping: threading.Event) -> None:
        """Relay until `stopping` is set; `wake` makes it notice at once."""
        crash.on_lane(self._claim.name)
        try:
            while not stopping.is_set():
                rung = self._rest(stopping)
                if self._slot is not None and rung:
                    self._slot.close()
                try:
                    if rung or self._outbox.waiting(self._claim):
                        self._empty(stopping)
                    else:
                        self._recover()
                except (BrokerUnavailableError, DatabaseError) as error:
                    self._back_off(error)
        finally:
            if self._slot is not None:
                self._slot.open()

    def _rest(self, stopping: threading.Event) -> bool:
        """Wait for the bell or the next poll, or sit out a failure; whether to claim without asking first."""
        if self._slot is not None:
            self._bell.wait(GATE_LINGER)
            if not self._bell.is_set():
                self._slot.open()
        if self._backoff:
            stopping.wait(self._backoff)
            return True
        if self._settings.gather:
            stopping.wait(self._settings.gather)
        rung = self._bell.wait(STANDBY_INTERVAL if self._standby else POLL_INTERVAL)
        self._bell.clear()
        return rung

    def _empty(self, stopping: threading.Event) -> None:
        """Publish batches until one is not full."""
        while not stopping.is_set():
            if self._passage is not None:
                self._passage.wait(stopping)
            limit, began = self._limit, time.monotonic()
            settled = self.publish_batch(limit)
            took = time.monotonic() - began
            if self._passage is not None:
                self._passage.worked(took)
            self._standby = settled is None
            if settled is None:
                # Another relay is at it. What kept this one waiting may be over, so it is not sat out to its end: the
                # other may die at any moment.
                self._backoff = 0.0
                return
            self._recover()
            self._limit = self._fitting(limit, settled, took)
            if settled < limit:
                return
            if self._settings.pause:
                stopping.wait(self._settings.pause)

    def _recover(self) -> None:
        """There was a batch, or nothing is left to publish: nothing is waited for any more."""
        self._backoff = 0.0
        if self._waiting is not None:
            logger.info("The %s relay works again", self._claim.name)
            self._waiting = None

    def _fitting(self, limit: int, settled: int, seconds: float) -> int:
        """Rows to claim next, after `settled` rows of `limit` took that many seconds."""
        grown = min(limit * 2, self._settings.batch)
        if self._passage is None or not self._passage.closed_lately or settled < limit or seconds <= BATCH_TIME:
            return grown
        return min(max(round(limit * BATCH_TIME / seconds), SMALLEST_BATCH), grown)

    def publish_batch(self, limit: int) -> int | None:
        """Claim, publish and mark up to `limit` rows; how many were settled, None while another relay is at it.

        Raises BrokerUnavailableError, with nothing marked, when the broker's answer is unknown.
        """
        with self._outbox.claim(self._claim, limit) as batch:
            if batch is None:
                return None
            routed = [(row, stream) for row in batch.rows if (stream := self._route(row)) is not None]
            began = time.time_ns()
            refused, counted = self._publish(batch, routed)
            batch.published([row.id for row in batch.rows if row.id not in refused], counted)
            if routed:
                crash.point("relay.marked")
        taken = [each for each in routed if each[0].id not in refused] if refused else routed
        self._telemetry.published(taken, began)
        if self._signals.tracing:
            self._signals.published(taken)
        return len(batch.rows)

    def _publish(self, batch: OutboxBatch, routed: Sequence[tuple[OutboxRow, str]]) -> tuple[set[int], int | None]:
        """Publish all rows in one go, or, if the broker refuses something, one by one.

        The ids refused, and the broker's count after it, None if nothing was counted.
        """
        entries = [(stream, _envelope(row)) for row, stream in routed]
        if not entries:
            return set(), None
        crash.point("relay.claimed")
        try:
            counted = self._publisher.publish(entries, batch.tally)
        except BrokerUnavailableError:
            raise
        except BrokerError:
            logger.warning(
                "The broker refused a batch of %d on the %s lane; publishing one by one", len(entries), self._claim.name
            )
        else:
            crash.point("relay.added")
            return set(), counted
        refused: set[int] = set()
        counts: list[int] = []
        for (row, stream), entry in zip(routed, entries, strict=True):
            try:
                counts.append(self._publisher.publish([entry], batch.tally))
            except BrokerUnavailableError:
                raise
            except BrokerError as error:
                refused.add(row.id)
                if self._signals.tracing:
                    self._signals.refused(row, stream, str(error))
                batch.refused(row.id, str(error), self._next_attempt(row))
                logger.error(  # noqa: TRY400  # the broker's text says it all
                    "The broker refused message %s (attempt %d of %d): %s",
                    row.message_id,
                    row.attempts + 1,
                    MAX_ATTEMPTS,
                    error,
                )
        return refused, BEHIND if BEHIND in counts else max(counts, default=None)

    def _next_attempt(self, row: OutboxRow) -> datetime | None:
        if row.attempts + 1 >= MAX_ATTEMPTS:
            return None
        return utc_now() + timedelta(seconds=2.0**row.attempts)

    def _back_off(self, error: Exception) -> None:
        self._standby = False
        if self._waiting is None:
            self._waiting = Activity(State.WAITING, time.monotonic(), f"rows stay in the outbox: {error}")
            logger.warning("The %s relay waits; rows stay in the outbox: %s", self._claim.name, error)
        self._backoff = min(self._backoff * 2, BACKOFF_LAST) if self._backoff else BACKOFF_FIRST
        # One row is enough to find out whether the broker takes anything again; then more, so that a broker which
        # is only slow is not sent the same large batch over and over.
        self._limit = 1


def _envelope(row: OutboxRow) -> bytes:
    return codec.envelope(row.data, row.metadata, row.position, row.global_position)
