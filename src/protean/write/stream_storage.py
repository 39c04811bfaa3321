"""Event-sourced aggregates: loading is replaying their stream, saving is appending to it where it was read to end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from protean.elements.aggregate import set_version, version_of
from protean.elements.element import StatefulElement, identity_of
from protean.elements.event import EventElement
from protean.elements.payload import PayloadElement
from protean.elements.replaying import replaying
from protean.elements.sourcing import (
    EventSourcedElement,
    blank,
    replay,
    set_snapshot,
    show_as,
    snapshot_of,
)
from protean.elements.state import remember, restore, state_of
from protean.exceptions import (
    ExpectedVersionError,
    HistoryRemovedError,
    InvalidOperationError,
    NotSupportedError,
    TakenError,
    UnknownTypeError,
    ValidationError,
    taken,
)
from protean.message import Message, NewMessage
from protean.ports.database import Transaction
from protean.ports.rows import Change, Key, Row
from protean.write.context import ActiveDomain
from protean.write.reading import payload_of
from protean.write.snapshots import SNAPSHOTS, Snapshot, snapshot_change, snapshot_in
from protean.write.storing import Tracked

#: Messages read at a time. More is faster and holds more memory.
PAGE = 500


class StreamStorage:
    """No row: the events of each object, in a stream of its own."""

    def __init__(self, domain: ActiveDomain, cls: type[EventSourcedElement]) -> None:
        self._domain = domain
        self._cls = cls

    def load(self, transaction: Transaction, keys: Collection[Key]) -> dict[Key, StatefulElement]:
        """See `Storage`. Raises HistoryRemovedError, UnknownTypeError, and what reading or applying an event raises."""
        found: dict[Key, StatefulElement] = {}
        snapshots = self._snapshots(transaction, keys)
        for key in keys:
            element = self._replayed(transaction, key, snapshots.get(stream_of(self._cls, key)))
            if element is not None:
                found[key] = element
        return found

    def complete(self, transaction: Transaction, rows: list[Row]) -> list[Row]:  # noqa: ARG002  # there are none
        """See `Storage`. There are no rows. Raises NotSupportedError."""
        raise unqueryable(self._cls)

    def changes(self, tracked: Tracked) -> list[Change]:
        """See `Storage`. The events themselves are written by the unit of work, as everybody's; here it is a snapshot.

        Raises InvalidOperationError when the events do not make the state that the object has.
        """
        element = tracked.element
        if not isinstance(element, EventSourcedElement):
            raise TypeError(f"{type(element).__name__} is not event sourced")
        if tracked.removed:
            raise unremovable(self._cls)
        events, tracked.events = tracked.events, []
        state = state_of(element)
        self._check(tracked, events, state)
        tracked.loaded = state
        tracked.version += len(events)
        threshold = self._domain.snapshot_threshold
        if not events or not threshold or tracked.version - snapshot_of(element) < threshold:
            return []
        set_snapshot(element, tracked.version)
        return [snapshot_change(self._cls, stream_of(self._cls, tracked.key), Snapshot(tracked.version, state))]

    def past(
        self, transaction: Transaction, key: Key, at_version: int | None, as_of: datetime | None
    ) -> EventSourcedElement | None:
        """The object behind the event at that position, or behind the last before the first one after that moment.

        None if there was none. It cannot be changed.
        """
        if as_of is not None:
            element = self._replayed(transaction, key, None, lambda message: message.time <= as_of)
            shown = f"{as_of.isoformat()}"
        else:
            last = at_version if at_version is not None else -1
            row = self._snapshots(transaction, [key]).get(stream_of(self._cls, key))
            usable = row if row is not None and row["position"] <= last else None
            element = self._replayed(transaction, key, usable, lambda message: message.position <= last)
            shown = f"version {last}"
        if element is None or (at_version is not None and version_of(element) < at_version):
            return None
        show_as(element, shown)
        return element

    def take_snapshot(self, transaction: Transaction, key: Key) -> int | None:
        """Write a snapshot of the whole stream, whatever the last one said; its position, None without a stream."""
        element = self._replayed(transaction, key, None)
        if element is None:
            return None
        position = version_of(element)
        snapshot = Snapshot(position, state_of(element))
        transaction.rows.write([snapshot_change(self._cls, stream_of(self._cls, key), snapshot)])
        return position

    def _snapshots(self, transaction: Transaction, keys: Collection[Key]) -> dict[str, Row]:
        names = [stream_of(self._cls, key) for key in keys]
        if len(names) == 1:
            row = transaction.rows.get(SNAPSHOTS, names[0])
            return {} if row is None else {names[0]: row}
        return {row["stream_name"]: row for row in transaction.rows.get_many(SNAPSHOTS, names)}

    def _replayed(
        self,
        transaction: Transaction,
        key: Key,
        snapshot_row: Row | None,
        wanted: Callable[[Message], bool] = lambda _: True,
    ) -> EventSourcedElement | None:
        """The object as its events make it, from a snapshot on if there is one, up to the first one not wanted."""
        name, snapshot = stream_of(self._cls, key), snapshot_in(self._cls, snapshot_row)
        if snapshot is None:
            element, position = blank(self._cls, key), -1
        else:
            element, position = restore(self._cls, snapshot.state), snapshot.position
            set_snapshot(element, position)
        more = True
        while more:
            page = transaction.log.read(name, position, PAGE)
            more = len(page) == PAGE
            for message in page:
                if not wanted(message):
                    more = False
                    break
                position = self._replay(element, message, position + 1)
        if position < 0:
            return None
        with replaying():
            remember(element, state_of(element))
        set_version(element, position)
        return element

    def _replay(self, element: EventSourcedElement, message: Message, expected: int) -> int:
        """Apply one message of the stream; its position."""
        if message.position != expected:
            raise HistoryRemovedError(
                f"{message.stream_name} lacks position {expected}, and goes on at {message.position}: "
                f"{self._cls.__name__} is event sourced and cannot be loaded without all of its events"
            )
        try:
            replay(element, _event(payload_of(self._domain.registry, message)))
        except Exception as error:
            error.add_note(f"while {message.type} at position {message.position} of {message.stream_name} was replayed")
            raise
        return message.position

    def _check(self, tracked: Tracked, events: Sequence[EventElement], state: Row) -> None:
        """Refuse to save what would be something else when it is loaded again."""
        if tracked.loaded is None and not events:
            raise InvalidOperationError(
                f"{self._cls.__name__} {tracked.key!r:.50} has raised no event, and there is nothing else that an "
                "event-sourced aggregate is saved by; raise_ the one that says how it began, then add it"
            )
        if events:
            again = blank(self._cls, tracked.key) if tracked.loaded is None else restore(self._cls, tracked.loaded)
            for event in events:
                replay(again, event)
            with replaying():
                loaded = state_of(again)
        else:
            loaded = dict(tracked.loaded or {})
        for column, value in state.items():
            if loaded[column] != value:
                raise InvalidOperationError(
                    f"{self._cls.__name__} {tracked.key!r:.50} was not saved: `{column}` is {value!r:.50}, and would "
                    f"be {loaded[column]!r:.50} when its events are replayed; let an @apply method set it, from "
                    "nothing but the event (no clock, no random number, no identity made up there)"
                )


def _event(payload: PayloadElement) -> EventElement:
    if not isinstance(payload, EventElement):
        raise UnknownTypeError(f"{payload.__protean__} is in a stream of events, which holds nothing but events")
    return payload


class Expected(NamedTuple):
    """Where the stream of an object was read to end: -1 for a new one."""

    version: int
    element: StatefulElement


def stream_of(cls: type[StatefulElement], key: Key) -> str:
    """The stream of an aggregate's events."""
    return f"{cls.__protean__.stream_category}-{key}"


def expected_ends(objects: Iterable[Tracked]) -> dict[str, Expected]:
    """The streams that events of these objects are about to be appended to, by name."""
    return {
        stream_of(type(each.element), each.key): Expected(each.version, each.element) for each in objects if each.events
    }


def append(
    transaction: Transaction, messages: Sequence[NewMessage], broker: str | None, ends: Mapping[str, Expected]
) -> None:
    """Append to the log. Raises ExpectedVersionError when one of these streams has been continued meanwhile.

    Of a new object it is a TakenError: of its identity.
    """
    try:
        transaction.log.append(messages, broker, {name: end.version for name, end in ends.items()})
    except ExpectedVersionError as error:
        end = ends.get(error.stream_name or "")
        if end is None:
            raise
        info = end.element.__protean__
        if end.version < 0:
            names = [info.identity or "id"]
            raise TakenError("messages", names, taken(names)) from error
        raise ExpectedVersionError(
            f"{info.name} {identity_of(end.element)!r:.50} is no longer at version {end.version}: somebody else has "
            "changed it since it was loaded",
            error.stream_name,
        ) from error


def event_sourced(cls: type[StatefulElement]) -> type[EventSourcedElement]:
    """The class itself. Raises NotSupportedError for one that has no past."""
    if not issubclass(cls, EventSourcedElement):
        raise NotSupportedError(
            f"{cls.__name__} is kept as it is, not as it was; declare it with @domain.aggregate(event_sourced=True) to "
            "get it at a version or a moment of the past"
        )
    return cls


def check_moment(cls: type[StatefulElement], at_version: object, as_of: object) -> None:
    """Raise NotSupportedError, InvalidOperationError or ValidationError unless objects can be had from then."""
    event_sourced(cls)
    if at_version is not None and as_of is not None:
        raise InvalidOperationError("at_version and as_of name two moments of the past; give one of them")
    if at_version is not None and (isinstance(at_version, bool) or not isinstance(at_version, int) or at_version < 0):
        raise ValidationError({"at_version": [f"must be the position of an event, 0, 1, 2 …, not {at_version!r:.50}"]})
    if as_of is not None and (not isinstance(as_of, datetime) or as_of.utcoffset() is None):
        raise ValidationError({"as_of": [f"must be a datetime with a time zone, not {as_of!r:.50}"]})


def unqueryable(cls: type[Any]) -> NotSupportedError:
    """The error for asking by anything but the identity."""
    name = cls.__name__
    return NotSupportedError(
        f"{name} is event sourced and has no table to ask; get one by its identity, and for everything else keep a "
        f"projection of its events: @domain.projection, and a projector that lists {name} in its aggregates"
    )


def unremovable(cls: type[Any]) -> NotSupportedError:
    """The error for removing one."""
    return NotSupportedError(
        f"{cls.__name__} is event sourced, and its history stays; raise an event that says that it is over, and let "
        "projections drop it"
    )
