"""What a memory database holds, and what one transaction sees of it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar

from protean.exceptions import TransientDatabaseError
from protean.message import NewMessage
from protean.ports.command_results import KeptResult
from protean.ports.control import Operation, Pause
from protean.ports.idempotency import Keyed
from protean.ports.progress import Failure, Position
from protean.ports.rebuilding import UnderWay
from protean.ports.recovery import LaneState, Reconciliation, Standing
from protean.ports.rows import Key, Row
from protean.ports.timeouts import Timeout

#: A table, columns of it that together are unique, and values in them.
Taken = tuple[str, tuple[str, ...], tuple[Any, ...]]

_K = TypeVar("_K")
_V = TypeVar("_V")

#: Seconds to wait for the other writing transaction, as SQLite does; a thread that waits for itself fails then.
BUSY_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Logged:
    """A message with its place in the log."""

    message: NewMessage
    position: int
    global_position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    logged: Logged
    broker: str
    created_at: datetime
    status: str = "pending"
    published_at: datetime | None = None
    attempts: int = 0
    last_error: str | None = None
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PublicationEntry:
    """A row of `publications`."""

    logged: Logged
    broker: str
    created_at: datetime
    attempts: int = 0
    last_error: str | None = None
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """An inbox row."""

    handled_at: datetime
    global_position: int


@dataclass(frozen=True, slots=True)
class Loss:
    """A reconciliation under way, and the moment of the loss that it makes good."""

    lost_at: datetime
    under_way: Reconciliation


@dataclass(slots=True)
class Contents:
    """Mappings from keys to values that are never changed in place, only replaced. `rows` are by table."""

    rows: dict[str, MutableMapping[Key, Row]] = field(default_factory=lambda: defaultdict(dict))
    #: What is unique -> the key of the row that has it
    taken: MutableMapping[Taken, Key] = field(default_factory=dict)
    log: MutableMapping[tuple[str, int], Logged] = field(default_factory=dict)
    heads: MutableMapping[str, int] = field(default_factory=dict)
    messages: MutableMapping[str, Logged] = field(default_factory=dict)
    outbox: MutableMapping[int, OutboxEntry] = field(default_factory=dict)
    publications: MutableMapping[int, PublicationEntry] = field(default_factory=dict)
    positions: MutableMapping[tuple[str, str], Position] = field(default_factory=dict)
    inbox: MutableMapping[tuple[str, str], Noted] = field(default_factory=dict)
    failures: MutableMapping[tuple[str, str], Failure] = field(default_factory=dict)
    #: (handler, type) -> its standing, with that type alone
    handlers: MutableMapping[tuple[str, str], Standing] = field(default_factory=dict)
    #: (broker, lane)
    lanes: MutableMapping[tuple[str, str], LaneState] = field(default_factory=dict)
    #: by broker
    losses: MutableMapping[str, Loss] = field(default_factory=dict)
    idempotency_keys: MutableMapping[tuple[str, str], Keyed] = field(default_factory=dict)
    #: by projection
    rebuilds: MutableMapping[str, UnderWay] = field(default_factory=dict)
    #: by the command's id
    command_results: MutableMapping[str, KeptResult] = field(default_factory=dict)
    #: (process, key, name)
    timeouts: MutableMapping[tuple[str, str, str], Timeout] = field(default_factory=dict)
    #: (handler, lane)
    pauses: MutableMapping[tuple[str, str], Pause] = field(default_factory=dict)
    #: by id
    operations: MutableMapping[str, Operation] = field(default_factory=dict)


class Overlay(MutableMapping[_K, _V]):
    """A mapping seen through changes that are not applied to it yet."""

    def __init__(self, base: MutableMapping[_K, _V]) -> None:
        self._base = base
        self._changed: dict[_K, _V] = {}
        self._deleted: set[_K] = set()

    def __getitem__(self, key: _K) -> _V:
        if key in self._changed:
            return self._changed[key]
        if key in self._deleted:
            raise KeyError(key)
        return self._base[key]

    def __setitem__(self, key: _K, value: _V) -> None:
        self._deleted.discard(key)
        self._changed[key] = value

    def __delitem__(self, key: _K) -> None:
        if key not in self:
            raise KeyError(key)
        self._changed.pop(key, None)
        if key in self._base:
            self._deleted.add(key)

    def __iter__(self) -> Iterator[_K]:
        # A list at once: another transaction may commit while this one is at it.
        for key in list(self._base):
            if key not in self._deleted and key not in self._changed:
                yield key
        yield from list(self._changed)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def apply(self) -> None:
        """Make the changes in the mapping underneath."""
        for key in self._deleted:
            self._base.pop(key, None)
        self._base.update(self._changed)


class OverlaidTables(dict[str, MutableMapping[Key, Row]]):
    """Tables by name, each overlaid when it is first asked for."""

    def __init__(self, base: dict[str, MutableMapping[Key, Row]]) -> None:
        super().__init__()
        self._base = base

    def __missing__(self, name: str) -> MutableMapping[Key, Row]:
        overlay = self[name] = Overlay(self._base[name])
        return overlay

    def apply(self) -> None:
        """Make the changes in the tables underneath."""
        for overlay in self.values():
            if isinstance(overlay, Overlay):
                overlay.apply()


class Store:
    """The committed contents, and the one lock that a transaction holds from its first change to its end."""

    def __init__(self) -> None:
        self.committed = Contents()
        self.tables: set[str] = set()
        self._writer = threading.Lock()
        self._numbers = threading.Lock()
        self._last: dict[str, int] = defaultdict(int)

    def begin_writing(self) -> Contents:
        """Wait for the other writer, then see everything through an overlay of one's own."""
        if not self._writer.acquire(timeout=BUSY_TIMEOUT):
            raise TransientDatabaseError(f"another transaction has been writing for over {BUSY_TIMEOUT} seconds")
        overlays = {name: Overlay(getattr(self.committed, name)) for name in _names() if name != "rows"}
        return Contents(rows=OverlaidTables(self.committed.rows), **overlays)

    def end_writing(self, changes: Contents, *, commit: bool) -> None:
        try:
            if commit:
                for name in _names():
                    getattr(changes, name).apply()
        finally:
            self._writer.release()

    def next_number(self, sequence: str, above: int = 0) -> int:
        """Numbers are not given back by a rollback, as in a database."""
        with self._numbers:
            self._last[sequence] = max(self._last[sequence], above) + 1
            return self._last[sequence]


def _names() -> list[str]:
    return [entry.name for entry in fields(Contents)]
