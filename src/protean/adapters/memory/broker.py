"""The broker in memory: for unit tests and for a domain without configuration. Gone with its process."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from threading import Condition
from time import monotonic

from protean.adapters.memory.doorbell import Listener
from protean.adapters.memory.observation import Observation
from protean.clock import utc_now
from protean.exceptions import BrokerUnavailableError, GroupMissingError
from protean.ports.broker import BEHIND, Entry, GroupState, StreamState, Tally

#: Entries a stream holds before it takes no more, like a server out of memory: nobody seems to read it.
CAPACITY = 1_000_000

#: Dead letters kept per stream, oldest out.
DEAD_LETTERS_KEPT = 10_000


@dataclass
class _Group:
    """`pending` maps ids to consumers and is in the order of ids, since ids are delivered in order.

    `consumers` tells when each has read last.
    """

    delivered: int = 0
    pending: dict[int, str] = field(default_factory=dict)
    consumers: dict[str, float] = field(default_factory=dict)

    def needed(self) -> int:
        """The lowest id this group still needs."""
        return next(iter(self.pending), self.delivered + 1)

    def held_by(self, consumer: str) -> list[int]:
        return [number for number, holder in self.pending.items() if holder == consumer]

    def dismiss(self, consumer: str) -> None:
        """Remove the consumer if nothing is pending for it."""
        if consumer not in self.pending.values():
            self.consumers.pop(consumer, None)


@dataclass
class _Stream:
    """`numbers` are the ids of `fields`, ascending."""

    numbers: list[int] = field(default_factory=list)
    fields: dict[int, Mapping[str, bytes]] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)

    def add(self, number: int, fields: Mapping[str, bytes]) -> None:
        self.numbers.append(number)
        self.fields[number] = fields

    def after(self, number: int, count: int | None = None) -> list[int]:
        start = bisect_right(self.numbers, number)
        return self.numbers[start : None if count is None else start + count]

    def trim(self, floor: int) -> None:
        end = bisect_left(self.numbers, floor)
        for number in self.numbers[:end]:
            del self.fields[number]
        del self.numbers[:end]

    def keep(self, count: int) -> None:
        """Trim to the newest so many, read or not."""
        self.trim(self.numbers[-count:][0])

    def entry(self, number: int) -> Entry:
        fields = self.fields.get(number)
        return Entry(_id(number), None if fields is None else fields.get("data", b""))


class MemoryBroker(Observation):
    """Every ability of the port, within one process. Thread-safe; hand the same object to everybody."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        super().__init__()
        self._capacity = capacity
        self._streams: dict[str, _Stream] = {}
        self._tallies: dict[str, int] = {}
        self._last_number = 0  # Shared by all streams and never reset: an id never comes twice.
        self._beats: dict[str, float] = {}
        self._said: dict[str, str] = {}
        self._listeners: list[Listener] = []
        self._changed = Condition()

    def __repr__(self) -> str:
        return "MemoryBroker()"

    # Publishing

    def publish(self, entries: Sequence[tuple[str, bytes]], tally: Tally | None = None) -> int:
        with self._changed:
            for stream, payload in entries:
                self._add(stream, {"data": payload})
            self._changed.notify_all()
            if tally is None:
                return 0
            count = self._tallies.get(tally.key, 0)
            if count < tally.known:
                return BEHIND
            self._tallies[tally.key] = count + 1
            return count + 1

    def feed(self, stream: str, payloads: Sequence[bytes], keep: int) -> None:
        with self._changed:
            there = len(self._streams[stream].numbers) if stream in self._streams else 0
            if there + len(payloads) > self._capacity:
                raise BrokerUnavailableError(f"the stream {stream!r} in memory is full ({self._capacity} entries)")
            for payload in payloads:
                self._add(stream, {"data": payload})
            if keep and payloads:
                self._streams[stream].keep(keep)
            self._changed.notify_all()

    def tallies(self, keys: Sequence[str]) -> list[int]:
        with self._changed:
            return [self._tallies.get(key, 0) for key in keys]

    def forget(self, keys: Sequence[str]) -> None:
        with self._changed:
            for key in keys:
                self._tallies.pop(key, None)

    def bury(self, stream: str, fields: Mapping[str, str | bytes]) -> str:
        with self._changed:
            number = self._add(
                stream,
                {name: value.encode() if isinstance(value, str) else value for name, value in fields.items()},
            )
            letters = self._streams[stream]
            letters.keep(DEAD_LETTERS_KEPT)
            self._changed.notify_all()
            return _id(number)

    def _add(self, name: str, fields: Mapping[str, bytes]) -> int:
        stream = self._streams.setdefault(name, _Stream())
        if len(stream.numbers) >= self._capacity:
            raise BrokerUnavailableError(
                f"the stream {name!r} in memory is full ({self._capacity} entries): does anybody read it?"
            )
        self._last_number += 1
        stream.add(self._last_number, fields)
        return self._last_number

    # Reading in groups

    def ensure_group(self, stream: str, group: str) -> bool:
        with self._changed:
            groups = self._streams.setdefault(stream, _Stream()).groups
            if group in groups:
                return False
            groups[group] = _Group()
            return True

    def read(self, stream: str, group: str, consumer: str, count: int, block: float) -> list[Entry]:
        with self._changed:
            if block > 0:
                self._changed.wait_for(
                    lambda: self._stream(stream, group).after(self._group(stream, group).delivered, 1), block
                )
            source, members = self._stream(stream, group), self._group(stream, group)
            members.consumers[consumer] = monotonic()
            numbers = source.after(members.delivered, count)
            members.pending.update(dict.fromkeys(numbers, consumer))
            members.delivered = numbers[-1] if numbers else members.delivered
            return [source.entry(number) for number in numbers]

    def pending(self, stream: str, group: str, consumer: str, after: str, count: int) -> list[Entry]:
        with self._changed:
            source, members = self._stream(stream, group), self._group(stream, group)
            held = (number for number in members.held_by(consumer) if number > _number(after))
            return [source.entry(number) for number in islice(held, count)]

    def ack(self, stream: str, group: str, ids: Sequence[str], *, trim: bool = True) -> None:
        with self._changed:
            source = self._streams.get(stream)
            if source is None or group not in source.groups:
                return  # What is gone needs no acknowledgement; the next read says so.
            for entry_id in ids:
                source.groups[group].pending.pop(_number(entry_id), None)
            if trim:
                source.trim(min(members.needed() for members in source.groups.values()))

    def _stream(self, stream: str, group: str) -> _Stream:
        found = self._streams.get(stream)
        if found is None or group not in found.groups:
            raise GroupMissingError(f"there is no group {group!r} on a stream {stream!r} in memory")
        return found

    def _group(self, stream: str, group: str) -> _Group:
        return self._stream(stream, group).groups[group]

    # Presence

    def beat(self, consumer: str, expiry: float, says: str = "") -> bool:
        with self._changed:
            self._beats = {name: end for name, end in self._beats.items() if end > monotonic()}
            lived = consumer in self._beats
            self._beats[consumer] = monotonic() + expiry
            if not lived:
                self._said = {name: said for name, said in self._said.items() if name in self._beats}
                self._said[consumer] = says
            return lived

    def leave(self, consumer: str, groups: Collection[tuple[str, str]]) -> None:
        with self._changed:
            for stream, group in groups:
                if stream in self._streams and group in self._streams[stream].groups:
                    self._streams[stream].groups[group].dismiss(consumer)
            self._beats.pop(consumer, None)

    def absent(self, stream: str, group: str, *, asking: str = "") -> list[str]:
        with self._changed:
            others = (name for name in self._group(stream, group).consumers if name != asking)
            return [name for name in others if not self._lives(name)]

    def silent(self, stream: str, group: str, seconds: float) -> list[str]:
        with self._changed:
            consumers = self._group(stream, group).consumers
            return [name for name in self.absent(stream, group) if monotonic() - consumers[name] >= seconds]

    def claim(self, stream: str, group: str, dead: str, consumer: str, count: int) -> list[Entry]:
        with self._changed:
            source, members = self._stream(stream, group), self._group(stream, group)
            if self._lives(dead):
                return []
            numbers = members.held_by(dead)[:count]
            members.pending.update(dict.fromkeys(numbers, consumer))
            if numbers:
                members.consumers[consumer] = monotonic()
            members.dismiss(dead)
            return [source.entry(number) for number in numbers]

    def living(self) -> list[str]:
        with self._changed:
            return sorted(name for name in self._beats if self._lives(name))

    def signs(self) -> dict[str, str]:
        with self._changed:
            return {name: self._said[name] for name in sorted(self._beats) if self._lives(name)}

    def _lives(self, consumer: str) -> bool:
        return self._beats.get(consumer, 0.0) > monotonic()

    # Upkeep

    def streams(self, prefix: str) -> list[str]:
        with self._changed:
            return sorted(name for name in self._streams if name.startswith(prefix))

    def held(self, stream: str, group: str) -> dict[str, int]:
        with self._changed:
            members = self._group(stream, group)
            return {consumer: len(members.held_by(consumer)) for consumer in members.consumers}

    def resign(self, consumer: str, stream: str, group: str) -> None:
        with self._changed:
            if stream in self._streams and group in self._streams[stream].groups:
                self._streams[stream].groups[group].dismiss(consumer)

    def remove_group(self, stream: str, group: str) -> None:
        with self._changed:
            source = self._streams.get(stream, _Stream())
            if source.groups.pop(group, None) is None:
                return
            if source.groups:
                source.trim(min(members.needed() for members in source.groups.values()))
            else:
                del self._streams[stream]
            self._changed.notify_all()

    def remove_stream(self, stream: str) -> bool:
        with self._changed:
            source = self._streams.get(stream)
            if source is None or source.numbers or any(members.pending for members in source.groups.values()):
                return False
            del self._streams[stream]
            self._changed.notify_all()
            return True

    def clock(self) -> datetime:
        return utc_now()

    # Bells

    def ring(self, bell: str) -> None:
        with self._changed:
            for listener in self._listeners:
                listener.ring(bell)

    def listen(self, bells: Collection[str], woken: Callable[[str], None]) -> Callable[[], None]:
        listener = Listener(bells, woken)
        with self._changed:
            self._listeners.append(listener)

        def stop() -> None:
            with self._changed:
                if listener in self._listeners:
                    self._listeners.remove(listener)
            listener.stop()

        return stop

    # Inspection

    def stream(self, name: str) -> StreamState:
        with self._changed:
            source = self._streams.get(name, _Stream())
            return StreamState(
                length=len(source.numbers),
                first_id=_id(source.numbers[0]) if source.numbers else None,
                groups=tuple(
                    GroupState(
                        name=group,
                        lag=len(source.after(members.delivered)),
                        pending=len(members.pending),
                        consumers=tuple(members.consumers),
                        oldest_pending_id=next((_id(number) for number in members.pending), None),
                    )
                    for group, members in source.groups.items()
                ),
            )

    def backlog(self, groups: Sequence[tuple[str, str]]) -> list[int]:
        states = {stream: {state.name: state for state in self.stream(stream).groups} for stream, _ in groups}
        found = (states[stream].get(group) for stream, group in groups)
        return [state.lag + state.pending if state else 0 for state in found]

    def entries(self, stream: str, after: str, count: int) -> list[tuple[str, Mapping[str, bytes]]]:
        with self._changed:
            source = self._streams.get(stream, _Stream())
            return [(_id(number), source.fields[number]) for number in source.after(_number(after), count)]

    # The whole

    def ping(self) -> None:
        """Memory always answers."""

    def flush(self, prefix: str) -> int:
        with self._changed:
            names = [name for name in self._streams if name.startswith(prefix)]
            deleted = len(names) + len(self._beats) + len(self._tallies)
            for name in names:
                del self._streams[name]
            self._beats.clear()
            self._tallies.clear()
            self._changed.notify_all()
            return deleted

    def close(self) -> None:
        with self._changed:
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.stop()


def _id(number: int) -> str:
    return f"{number}-0"


def _number(entry_id: str) -> int:
    """The number of an id; of "-", the beginning, 0."""
    return int(entry_id.partition("-")[0] or 0)
