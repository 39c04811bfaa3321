"""The broker: streams that carry hints, groups that share them, a bell, and a sign of life."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from protean.ports.observation import Observation


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream entry. `payload` is None when the entry was trimmed while it was pending.

    `deliveries` counts how often it was handed to a consumer, where that is known: after a claim.
    """

    id: str
    payload: bytes | None
    deliveries: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Tally:
    """A count of batches that the broker keeps, and what it is `known`, elsewhere, to have come to at least.

    It grows after the batch it counts: whoever has the count has had the entries. A broker that is behind what is
    known has lost something, be it everything or the end of a file.
    """

    key: str
    known: int


#: What `publish` returns in place of a count when the broker is behind what is known of it.
BEHIND = -1


class Publisher(Protocol):
    def publish(self, entries: Sequence[tuple[str, bytes]], tally: Tally | None = None) -> int:
        """Append (stream, payload) pairs, in order, in one round trip; the count of `tally` after this batch.

        BEHIND when the broker's count is below what is known: the entries are appended, and the count stays as
        it is, for everybody else to see. Without a tally nothing is counted, and 0 returned.

        Raises BrokerUnavailableError when the outcome of some is unknown or the broker takes nothing now:
        the same entries may be published again. Raises BrokerError when this very payload is refused.
        """
        ...


class Tallies(Protocol):
    def tallies(self, keys: Sequence[str]) -> list[int]:
        """The counts of these tallies, 0 of one that is not there, in one round trip."""
        ...

    def forget(self, keys: Sequence[str]) -> None:
        """Delete tallies that nobody will ask for any more."""
        ...


class Feed(Protocol):
    """Streams for readers beyond the domain, whom nobody here knows: there is nothing to wait for before trimming."""

    def feed(self, stream: str, payloads: Sequence[bytes], keep: int) -> None:
        """Append in order, all or none, in one step. About `keep` entries stay, the oldest go first; 0: all stay.

        Raises BrokerUnavailableError when the outcome is unknown or the broker takes nothing now, and BrokerError
        when it refuses this.
        """
        ...


class Subscriber(Protocol):
    """Reading a stream as a member of a consumer group. Entries stay pending until acknowledged."""

    def ensure_group(self, stream: str, group: str) -> bool:
        """Make the stream and the group, at the stream's beginning, where missing; whether it made it."""
        ...

    def read(self, stream: str, group: str, consumer: str, count: int, block: float) -> list[Entry]:
        """Up to `count` entries nobody in the group has got yet; waits up to `block` seconds for the first.

        `block` of 0 does not wait. Raises GroupMissingError when the stream or group is gone.
        """
        ...

    def pending(self, stream: str, group: str, consumer: str, after: str, count: int) -> list[Entry]:
        """This consumer's own pending entries with an id above `after` ("0" for the first)."""
        ...

    def ack(self, stream: str, group: str, ids: Sequence[str], *, trim: bool = True) -> None:
        """Acknowledge, and trim the head of the stream up to what some group still needs, in one step.

        Without `trim` the stream stays as it is: somebody else's, who may have other uses for it.
        """
        ...


class Presence(Protocol):
    """Signs of life of consumers, and the taking over of what dead ones left."""

    def beat(self, consumer: str, expiry: float, says: str = "") -> bool:
        """Say that `consumer` lives, for the next `expiry` seconds; whether it counted as living until now.

        `says` is what its first beat tells of it, for `signs`; later beats do not change that. False from any but
        the first: others may have taken over what it had in hand.
        """
        ...

    def leave(self, consumer: str, groups: Collection[tuple[str, str]]) -> None:
        """Withdraw the sign of life, and from these (stream, group) the consumer if nothing is pending for it."""
        ...

    def absent(self, stream: str, group: str, *, asking: str = "") -> list[str]:
        """The group's consumers without a sign of life. Nobody looks for that of who is `asking`: it lives."""
        ...

    def silent(self, stream: str, group: str, seconds: float) -> list[str]:
        """Those of the absent that have not read for so long either: for when nobody's sign of life is taken."""
        ...

    def claim(self, stream: str, group: str, dead: str, consumer: str, count: int) -> list[Entry]:
        """Move up to `count` pending entries of `dead` to `consumer`, if `dead` still has no sign of life.

        A dead consumer with nothing left is removed from the group.
        """
        ...


class Doorbell(Protocol):
    """A wake-up call, best effort: whoever misses one finds out by polling."""

    def ring(self, bell: str) -> None:
        """Wake who listens to `bell`. Raises BrokerUnavailableError; never waits longer than a second."""
        ...

    def listen(self, bells: Collection[str], woken: Callable[[str], None]) -> Callable[[], None]:
        """Call `woken(bell)` from a thread of its own on every ring, through reconnections; returns how to stop.

        After a reconnection every bell counts as rung.
        """
        ...


@dataclass(frozen=True, slots=True)
class GroupState:
    name: str
    lag: int
    pending: int
    consumers: tuple[str, ...]
    oldest_pending_id: str | None


@dataclass(frozen=True, slots=True)
class StreamState:
    """`length` counts entries not yet trimmed; `first_id` is the oldest of them."""

    length: int
    first_id: str | None
    groups: tuple[GroupState, ...]


class Inspection(Protocol):
    """What people and monitors ask."""

    def stream(self, name: str) -> StreamState:
        """The state of a stream; of one that does not exist: length 0, no groups."""
        ...

    def backlog(self, groups: Sequence[tuple[str, str]]) -> list[int]:
        """Lag plus pending of each (stream, group), in one round trip. A missing one counts 0."""
        ...

    def entries(self, stream: str, after: str, count: int) -> list[tuple[str, Mapping[str, bytes]]]:
        """Entries above `after` ("-" from the start) with all their fields, for reading dead letters."""
        ...

    def living(self) -> list[str]:
        """The consumers with a sign of life."""
        ...

    def signs(self) -> dict[str, str]:
        """What each living consumer said with its first beat."""
        ...


class Upkeep(Protocol):
    """Looking after streams and groups that another configuration, or older code, has left."""

    def streams(self, prefix: str) -> list[str]:
        """The names of all streams that begin with `prefix`, sorted; dead letters and others' streams among them."""
        ...

    def held(self, stream: str, group: str) -> dict[str, int]:
        """How many entries are pending for each consumer of the group; looking changes nothing."""
        ...

    def resign(self, consumer: str, stream: str, group: str) -> None:
        """Take the consumer out of one group, if nothing is pending for it there. It goes on living."""
        ...

    def remove_group(self, stream: str, group: str) -> None:
        """Remove a group with all that it has not read, and trim what only it still needed.

        The stream goes too when no other group reads it.
        """
        ...

    def remove_stream(self, stream: str) -> bool:
        """Remove a stream that is empty, with nothing pending; whether it was."""
        ...

    def clock(self) -> datetime:
        """What time it is there, in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """`version` as in `Valkey 9.1.0`. `keeps` is what survives a restart: None where the server does not tell."""

    version: str
    keeps: str | None


#: Of a broker that forgets everything when it restarts.
KEEPS_NOTHING = "nothing"


@runtime_checkable
class Facts(Protocol):
    """An extra ability, of brokers that are servers: saying what they are."""

    def facts(self) -> BrokerFacts: ...


class DeadLetters(Protocol):
    def bury(self, stream: str, fields: Mapping[str, str | bytes]) -> str:
        """Append a dead letter with these fields to `stream`; its entry id. The stream is capped, oldest out."""
        ...


class Broker(
    Publisher, Tallies, Feed, Subscriber, Presence, Doorbell, Inspection, Upkeep, DeadLetters, Observation, Protocol
):
    """All of a broker, for the composition root. Users of it ask for the part they need."""

    def ping(self) -> None:
        """Raise BrokerUnavailableError, naming what was tried, unless the broker answers and is fit for use.

        Raises ConfigurationError when it may evict streams to free memory.
        """
        ...

    def flush(self, prefix: str) -> int:
        """Delete every key of this application; how many."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
