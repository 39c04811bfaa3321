"""What a lost broker is recovered from: lane counters, registration points and floors, all in the database.

The broker may lose everything, or only the end of it, at any time. That costs delay, never messages: what it was
given is counted (`LaneLedger`), what each handler has handled without a gap is known (`Floors`), and what is between
is published again (`Republishing`), at most twice in effect nothing, since handlers absorb duplicates.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from protean.ports.broker import Tally

#: How long after an engine was last seen with a handler relays publish for it, whatever their own release knows. Longer
#: outlasts a longer absence of that release, and lets the stream of a handler that is gone for good grow longer.
AWAITED_FOR = timedelta(hours=1)
#: How long it keeps rows of the outbox from being pruned that prove what it is owed from before its registration.
HOLDS_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Interest:
    """What a handler of the running code listens to in one database: `types` of messages in `categories`."""

    handler: str
    sequenced: bool
    categories: tuple[str, ...]
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LaneState:
    """What the database knows of one lane of a broker.

    `published` is the broker's count of batches with the last one marked, in this `epoch`; a new epoch begins a new
    count. `lost_at`: since when it is known that the broker has lost messages; None while nothing is amiss.
    """

    broker: str
    lane: str
    epoch: str
    published: int
    lost_at: datetime | None = None
    lost_why: str | None = None

    @property
    def tally(self) -> Tally:
        """Its count on the broker, whose key belongs to this epoch alone."""
        return Tally(f"{self.lane}:{self.epoch}", self.published)


class LaneLedger(Protocol):
    def open_lanes(self, broker: str, lanes: Collection[str]) -> None:
        """Begin to count on lanes that are not known yet."""
        ...

    def lanes(self, broker: str) -> list[LaneState]:
        """Every lane of the broker that was ever opened: one statement."""
        ...

    def lose(self, broker: str, lane: str, why: str, epoch: str | None = None) -> bool:
        """Note that the broker has lost something of the lane; whether that is news.

        Durable when it returns. With an `epoch`, only if that is the lane's still: older evidence says nothing.
        """
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a handler is known to have come with some `types` of messages, registered at the same moment.

    All above `start` and up to `floor` is handled: a sequenced handler's position is past it or blocked behind a
    failure; of another one there is, or was before pruning, an inbox row, or a failure. What lies up to `start` was
    never vouched for. `head` was the log's end at `registered_at`: what was written up to there is owed to the handler
    only if it was published afterwards. `seen_at`: when an engine that has the handler last said so, which it does
    every minute.
    """

    handler: str
    types: tuple[str, ...]
    start: int
    floor: int
    head: int
    registered_at: datetime
    database: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Advance:
    """`floor` after a step. `stuck_at`: the first message that keeps it from rising; `unpublished`, its outbox row too.

    `more`: there was more to look at than the step's limit.
    """

    floor: int
    stuck_at: int | None = None
    unpublished: bool = False
    more: bool = False


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many `rows` a step has deleted, and where the next one begins; `upto` of None: there is nothing left."""

    rows: int
    upto: int | None = None


class Floors(Protocol):
    def settle(self) -> int:
        """Look at the log's end, and return the global position up to which nothing can appear any more.

        Positions are given out in the order of writing, not of commit: a message below one that is visible may be in a
        transaction that is still open. Such a transaction is noted, and what lies below is settled when it has ended.
        """
        ...

    def register(self, database: str, interests: Sequence[Interest]) -> set[str]:
        """Give every type of every handler its start, unless it has one; the handlers that are known of old.

        Of old is a handler of whose types each has been registered for a minute: processes that start together
        register together. The start is below everything unpublished, and never above what is settled. Nobody has a
        batch of the outbox in hand at that moment: what is published later is published for the handler, see
        `OutboxRow.awaited`. Those that are registered already are noted as seen.
        """
        ...

    def standings(self) -> list[Standing]:
        """The standings of all handlers that were ever registered, also of those the code knows no longer."""
        ...

    def advance(
        self, interest: Interest, standing: Standing, settled: int, limit: int, *, drained: bool = False
    ) -> Advance | None:
        """Raise the floor past what is handled, looking at up to `limit` messages; None if somebody else has done so.

        `drained`: the handler's groups had nothing unread and nothing pending a moment ago, so that what is not owed
        to it (see `Standing.head`) will not come any more, and may be passed.
        """
        ...

    def prune_inbox(
        self, interest: Interest, standing: Standing, handled_before: datetime, after: int, limit: int
    ) -> Pruned:
        """Look at the next `limit` inbox rows above `after`, between start and floor, and delete what is older."""
        ...


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A loss that is being made good. `cursor`: up to where the log was looked through; it ends at `until`.

    `retired` are the tallies of the epoch that has ended.
    """

    cursor: int
    until: int
    republished: int
    why: str
    retired: tuple[str, ...] = ()


class Republishing(Protocol):
    """Making new outbox rows for messages that a handler has not handled, in order, with their own priority.

    A message that has an unpublished row gets no second one. Every transaction is bounded by its window of the log.
    """

    def begin(self, broker: str, interests: Sequence[Interest]) -> Reconciliation | None:
        """Take up what the broker's lanes have lost; None if they have lost nothing, or somebody is at it now.

        Begins a new epoch, when no relay has a batch in flight. What was begun and left by a process that died is
        taken up where it was left.
        """
        ...

    def step(self, broker: str, interests: Sequence[Interest], limit: int) -> Reconciliation | None:
        """Look through the next `limit` messages of the log; None if somebody is at it now, or has finished it."""
        ...

    def finish(self, broker: str) -> bool:
        """End it, and the loss with it, unless another one was noted after the beginning; whether there was an end."""
        ...

    def position_at(self, moment: datetime) -> int:
        """A global position below everything that was written at that moment or later."""
        ...

    def head(self) -> int:
        """The global position of the last message that is visible; 0 of an empty log."""
        ...

    def window(self, after: int, limit: int) -> int:
        """The global position of the last of the next `limit` messages; `after` itself behind the last one."""
        ...

    def count(self, interest: Interest, since: datetime, after: int, upto: int) -> int:
        """How many messages of that window `republish` would publish again for one handler."""
        ...

    def republish(self, broker: str, interests: Sequence[Interest], since: datetime, after: int, upto: int) -> int:
        """Publish again what is in that window, is not older than `since` and not handled, whatever a floor says;
        how many messages it were.

        What the floor of an unordered handler vouches for counts as handled, with or without its inbox row.
        """
        ...


@dataclass(frozen=True, slots=True)
class Remains:
    """What a handler has left, in rows."""

    positions: int
    inbox: int
    failures: int


class Retiring(Protocol):
    """Forgetting a handler that no code has any more. Should it come back, it is a new one."""

    def remains(self, handler: str) -> Remains:
        """What there is of a handler, registered or not."""
        ...

    def remove(self, handler: str, unseen_since: datetime, limit: int) -> int | None:
        """Delete up to `limit` rows of each kind, and with the last ones gone its registration; how many rows.

        0 when it is done. None, and nothing is deleted, when an engine has had the handler since that moment.
        """
        ...


class Recovery(LaneLedger, Floors, Republishing, Retiring, Protocol):
    """All of it, for the composition root."""
