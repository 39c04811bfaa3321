"""One handler on one lane: read, hand over, act on the outcome. Only here are messages acknowledged."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from protean import crash
from protean.deliver.activity import Activity, State
from protean.deliver.gate import GateSlot, Passage
from protean.deliver.lanes import Lane
from protean.deliver.reconciling import MADE_LATE
from protean.deliver.reporting import report
from protean.exceptions import BrokerError, DatabaseError, GroupMissingError
from protean.ports.broker import Entry, Presence, Subscriber
from protean.ports.handling import Delivery, Execute, Outcome
from protean.ports.progress import Failure, FailureState
from protean.ports.signals import SILENCE, Signals
from protean.wording import counted

logger = logging.getLogger(__name__)

#: Seconds that a lane which yields leaves its entries to gather after a read that was not full. Longer makes fewer,
#: larger transactions beside a migration that trickles in; a backfill's event is that much later.
GATHER = 0.025
#: Longest wait for the first entry of a read, in seconds. Longer saves idle commands and delays shutdown.
READ_BLOCK = 1.0
#: Seconds between looks for entries that dead consumers left behind; it takes two looks to believe it.
RECLAIM_INTERVAL = 1.0
#: Seconds without reading after which a consumer counts as dead while the broker takes no sign of life, ours included:
#: it is full, and what the dead have in hand must be handled to empty it.
SILENT_AFTER = 60.0
#: Processes that died with an entry in hand before it is taken for the cause, and from how many on entries are
#: handed over one by one, so that the cause is the first that is left.
SUSPECTED_AFTER, CAREFUL_AFTER = 3, 2
#: Seconds to wait after the broker or the database failed: doubles from the first to the last.
BACKOFF_FIRST, BACKOFF_LAST = 0.1, 5.0
#: Entries in hand from which a primary lane, too, puts several messages into one transaction.
LONG_BACKLOG = 50
#: Seconds between looks at a handler whose breaker is open: another thread's trial may close it any time.
BREAKER_LOOK = 0.25


def _always() -> bool:
    return True


def _ready() -> float:
    return 0.0


def _unpaused() -> str | None:
    return None


def _unheard(_why: str) -> None:
    """Nobody asks about losses of this lane."""


class LaneBroker(Subscriber, Presence, Protocol):
    """What a subscription needs of a broker."""


@dataclass(frozen=True, slots=True)
class LaneRoute:
    """Whose messages, on which stream. The consumer group is the handler's name."""

    handler: str
    stream: str
    lane: Lane


@dataclass(frozen=True, slots=True)
class SubscriptionSettings:
    """`batch` caps a read and a group commit; `pause` is the wait between reads, in seconds.

    `lanes_enabled`: whether production has a lane of its own, and so no need of group commits. `trims`: whether what
    is done leaves the stream, as it must not on somebody else's. `waits`: whether a read waits for its first entry.
    """

    batch: int = 100
    pause: float = 0.0
    lanes_enabled: bool = True
    trims: bool = True
    waits: bool = True


class Subscription:
    """Serves one lane from a thread of its own.

    `bury` writes the dead letter of a failure. `bereave` is told the name of a dead
    consumer before its entries are taken over. `heard` tells whether this process's own sign of life reaches the
    broker; while it does not, the absence of others proves little. `rests_for` tells for
    how many seconds nothing may be handed over, because the handler's breaker is open; `paused` why nothing may be
    read or handed over, because somebody has said so. `lost` is told why the broker
    must have lost something; `late`, where no group could be made yet, why its handler may have missed something. A
    primary lane has a `slot` of the lane gate and closes it while it has work; a backfill lane has a `passage` through
    the gate.
    """

    def __init__(
        self,
        route: LaneRoute,
        broker: LaneBroker,
        consumer: str,
        execute: Execute,
        *,
        bury: Callable[[Failure], None],
        bereave: Callable[[str], None],
        heard: Callable[[], bool] = _always,
        rests_for: Callable[[], float] = _ready,
        paused: Callable[[], str | None] = _unpaused,
        lost: Callable[[str], None] = _unheard,
        slot: GateSlot | None = None,
        passage: Passage | None = None,
        late: Callable[[str], None] | None = None,
        settings: SubscriptionSettings = SubscriptionSettings(),
        signals: Signals = SILENCE,
    ) -> None:
        self.route = route
        self._broker = broker
        self._consumer = consumer
        self._execute = execute
        self._bury = bury
        self._bereave = bereave
        self._heard = heard
        self._rests_for = rests_for
        self._paused = paused
        self._lost = lost
        self._slot = slot
        self._passage = passage
        self._settings = settings
        self._signals = signals
        self._hand: deque[Delivery] = deque()
        self._last_read_was_full = False
        self._read_nothing = False
        self._gathering = False
        self._began = 0.0
        self._own_pending_after: str | None = "0"
        self._reclaim_at = 0.0
        self._absent: list[str] = []
        self._backoff = 0.0
        self._inherited = 0
        self._late = late or _unheard
        self._had_group = late is None
        self._outdated = False
        self._busy_since: float | None = None
        self._waiting: Activity | None = None

    @property
    def activity(self) -> Activity:
        """What it is at. Read from other threads: it may be over when it is read."""
        if (since := self._busy_since) is not None:
            return Activity(State.WORKING, since, f"{counted(len(self._hand), 'message')} in hand")
        return self._waiting or Activity()

    def look_anew(self) -> None:
        """What is in hand may be somebody else's by now: forget it, and ask the broker what is still pending here."""
        self._outdated = True

    def turn(self, stopping: threading.Event) -> bool:
        """Read once and handle what comes; for those who serve several lanes from one thread.

        Whether another turn may find something: False only when this one has read, and there was nothing.
        """
        self._read_nothing = False
        self._attempt(self._round, stopping)
        return not self._read_nothing

    def let_go(self) -> None:
        """Backfill need not wait for this lane any more: there is no further turn."""
        if self._slot is not None:
            self._slot.open()

    def run(self, stopping: threading.Event) -> None:
        """Serve the lane until `stopping` is set.

        The transaction under way is then finished; what else is in hand stays pending, and is taken over as
        soon as this consumer's sign of life is withdrawn.
        """
        crash.on_lane(self.route.lane)
        try:
            while not stopping.is_set():
                self._attempt(self._round, stopping)
                if self._settings.pause and not self._hand:
                    stopping.wait(self._settings.pause)
        finally:
            self.let_go()

    def _attempt(self, step: Callable[[threading.Event], None], stopping: threading.Event) -> None:
        """Take one step, and answer for what may go wrong with a server."""
        try:
            step(stopping)
        except GroupMissingError as error:
            if not self._backoff:  # else it was said, and could not be made
                logger.warning("%s; making the group anew", error)
            self._hand.clear()
            self._attempt(self._make_group, stopping)
        except BrokerError as error:
            # A lost reply may have left entries pending in our name: look there before reading on.
            self._own_pending_after = "0"
            self._absent = []
            self._hand.clear()
            self._wait_for("broker", error, stopping)
        except DatabaseError as error:
            if not self._hand:  # what was read and not taken in hand is pending in our name
                self._own_pending_after = "0"
            self._wait_for("database", error, stopping)
        else:
            self._backoff = 0.0
            self._waiting = None
            self._had_group = True

    def _wait_for(self, server: str, error: Exception, stopping: threading.Event) -> None:
        if not self._backoff:
            logger.warning(
                "[%s] waits for the %s, %s messages stay where they are: %s",
                self.route.handler,
                server,
                self.route.lane,
                error,
            )
            self._waiting = Activity(State.WAITING, time.monotonic(), f"waits for the {server}: {error}")
        self._busy_since = None
        self._backoff = min(self._backoff * 2, BACKOFF_LAST) if self._backoff else BACKOFF_FIRST
        if self._slot is not None:
            self._slot.open()
        stopping.wait(self._backoff)

    def _make_group(self, _stopping: threading.Event) -> None:
        # Said first: once the group is there again, nothing shows any more that it was not.
        if self._had_group:
            self._lost(f"the group {self.route.handler} on {self.route.stream} was gone")
        self._broker.ensure_group(self.route.stream, self.route.handler)
        if not self._had_group:
            self._late(f"the group {self.route.handler} on {self.route.stream} {MADE_LATE}")

    def _round(self, stopping: threading.Event) -> None:
        if (why := self._paused()) is not None:
            self._read_nothing = True
            self._stand_aside(BREAKER_LOOK if self._settings.waits else 0.0, stopping, why)
            return
        if self._outdated:
            self._outdated = False
            self._hand.clear()
            self._own_pending_after, self._absent = "0", []
        if not self._hand:
            self._inherited = 0
            if self._slot is not None and not self._last_read_was_full:
                self._slot.open()
            if self._passage is not None and self._gathering:
                stopping.wait(GATHER)
            self._hand.extend(self._fetch())
            self._gathering = bool(self._hand) and not self._last_read_was_full
        if self._hand:
            self._handle(stopping)

    def _fetch(self) -> list[Delivery]:
        """Own entries left pending by an error first, then dead consumers', then new ones."""
        if self._own_pending_after is not None:
            entries = self._broker.pending(
                self.route.stream, self.route.handler, self._consumer, self._own_pending_after, self._settings.batch
            )
            self._own_pending_after = entries[-1].id if entries else None
            return self._deliveries(entries)
        if time.monotonic() >= self._reclaim_at:
            self._reclaim_at = time.monotonic() + RECLAIM_INTERVAL
            if left_behind := self._left_behind():
                self._reclaim_at = 0.0
                return self._suspecting(left_behind)
        # After a full read more is likely: do not close the gate waiting for it.
        block = READ_BLOCK if self._settings.waits and not self._last_read_was_full else 0.0
        entries = self._broker.read(self.route.stream, self.route.handler, self._consumer, self._settings.batch, block)
        self._last_read_was_full = len(entries) >= self._settings.batch
        self._read_nothing = not entries
        return self._deliveries(entries)

    def _left_behind(self) -> list[Entry]:
        """Entries of one dead consumer, now ours.

        Dead is who was without a sign of life twice in a row: after a pause of the broker itself everybody is for
        a moment. While our own sign is not taken, who has not read for long may be dead, or only slow: nobody's
        sessions are ended then.
        """
        where, heard = (self.route.stream, self.route.handler), self._heard()
        if heard:
            absent = self._broker.absent(*where, asking=self._consumer)
        else:
            absent = [name for name in self._broker.silent(*where, SILENT_AFTER) if name != self._consumer]
        dead_again, self._absent = [name for name in absent if name in self._absent], absent
        for dead in dead_again:
            if heard:
                self._bereave(dead)
            entries = self._broker.claim(
                self.route.stream, self.route.handler, dead, self._consumer, self._settings.batch
            )
            if entries:
                logger.info(
                    "[%s] takes over %s of %s, which is gone",
                    self.route.handler,
                    counted(len(entries), f"{self.route.lane} message"),
                    dead,
                )
                return entries
        return []

    def _suspecting(self, entries: Sequence[Entry]) -> list[Delivery]:
        """Entries of a dead consumer. What killed the processes that had them is most likely the first that is left."""
        first, *others = self._deliveries(entries)
        self._inherited = len(entries) if entries[0].deliveries >= CAREFUL_AFTER else 0
        return [replace(first, suspected=entries[0].deliveries >= SUSPECTED_AFTER), *others]

    def _deliveries(self, entries: Sequence[Entry]) -> list[Delivery]:
        if any(entry.payload is None for entry in entries):  # our own trimming leaves alone what is pending
            self._lost(f"entries of {self.route.stream} were trimmed while {self.route.handler} had them in hand")
        return [Delivery(entry.id, self.route.stream, self.route.lane, entry.payload) for entry in entries]

    def _handle(self, stopping: threading.Event) -> None:
        """Hand over what is in hand, acknowledging as it gets done."""
        crash.point("sub.read")
        while self._hand:
            if self._paused() is not None:
                return
            if (seconds := self._rests_for()) > 0.0:
                self._stand_aside(seconds, stopping, "waits for the breaker of its handler")
                return
            if self._slot is not None:
                self._slot.close()
            if self._passage is not None:
                self._passage.wait(stopping)
            if stopping.is_set() or self._outdated:
                return
            self._busy_since = began = self._began = time.monotonic()
            outcomes = self._execute(self._offered(), grouped=self._grouped(), go_on=self._may_go_on)
            if self._passage is not None:
                self._passage.worked(time.monotonic() - began)
            if outcomes:
                self._settle(outcomes)
            self._busy_since = None

    def _stand_aside(self, seconds: float, stopping: threading.Event, why: str) -> None:
        """What is in hand stays pending, and backfill need not wait for it."""
        if self._slot is not None:
            self._slot.open()
        self._waiting = Activity(State.WAITING, time.monotonic(), why)
        stopping.wait(min(seconds, BREAKER_LOOK))

    def _offered(self) -> tuple[Delivery, ...]:
        """What is in hand; of what others have died with, only the next: the rest must not be in doubt with it."""
        return (self._hand[0],) if self._inherited else tuple(self._hand)

    def _grouped(self) -> bool:
        if self.route.lane is Lane.BACKFILL or not self._settings.lanes_enabled:
            return True
        return len(self._hand) >= LONG_BACKLOG

    def _may_go_on(self) -> bool:
        return self._passage is None or self._passage.may_go_on(time.monotonic() - self._began)

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        crash.point("sub.committed")
        for outcome in outcomes:
            if outcome.failure is not None and outcome.failure.state is FailureState.DEAD:
                self._bury(outcome.failure)
        settled = [self._hand[index].entry_id for index in range(len(outcomes))]
        self._broker.ack(self.route.stream, self.route.handler, settled, trim=self._settings.trims)
        crash.point("sub.acked")
        if self._signals.tracing:
            self._signals.settled(self.route.handler, self.route.stream, outcomes)
        self._inherited = max(0, self._inherited - len(outcomes))
        for outcome in outcomes:
            self._hand.popleft()
            report(logger, self.route.handler, outcome)
