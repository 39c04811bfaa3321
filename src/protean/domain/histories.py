"""What a domain offers for its past: reading streams, and snapshots of event-sourced aggregates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from protean.elements.element import StatefulElement
from protean.exceptions import InvalidOperationError, ObjectNotFoundError
from protean.ports.database import Transaction
from protean.write.context import ActiveDomain
from protean.write.histories import EventStore
from protean.write.stream_storage import StreamStorage, event_sourced
from protean.write.tables import checked_key, has_text_key, stored
from protean.write.unit_of_work import current_unit_of_work

A = TypeVar("A")

#: Streams looked up at a time.
PAGE = 500


class Histories:
    """A mixin of `Domain`."""

    @property
    def event_store(self: ActiveDomain) -> EventStore:
        """The messages of this domain: `read`, `last`, `read_all`, `search`."""
        return EventStore(self)

    def create_snapshot(self: ActiveDomain, aggregate: type[Any], identity: Any) -> int:
        """Replay all events of an event-sourced aggregate and keep its state beside them; the last one's position.

        An earlier snapshot is replaced, and not looked at. Raises ObjectNotFoundError, and InvalidOperationError inside
        a unit of work, whose changes it would neither see nor wait for.
        """
        if current_unit_of_work(self) is not None:
            raise InvalidOperationError(
                "create_snapshot() has a transaction of its own; call it outside of a unit of work"
            )
        storage, cls = _storage(self, aggregate)
        key = checked_key(cls, identity)
        position = _committed(self, cls, lambda transaction: storage.take_snapshot(transaction, key))
        if position is None:
            raise ObjectNotFoundError(f"there is no {cls.__name__} with identity {identity!r}")
        return position

    def create_snapshots(self: ActiveDomain, aggregate: type[Any]) -> Iterator[int]:
        """The same for every one there is, each in a transaction of its own; the positions, as they are written."""
        _, cls = _storage(self, aggregate)
        category, after = cls.__protean__.stream_category, ""
        while streams := _streams(self, cls, category, after):
            for stream in streams:
                identity = stream.removeprefix(f"{category}-")
                yield Histories.create_snapshot(self, cls, identity if has_text_key(cls) else int(identity))
            after = streams[-1]


def _storage(domain: ActiveDomain, aggregate: type[Any]) -> tuple[StreamStorage, type[StatefulElement]]:
    cls = event_sourced(stored(aggregate))
    return StreamStorage(domain, cls), cls


def _streams(domain: ActiveDomain, cls: type[StatefulElement], category: str, after: str) -> list[str]:
    return _committed(domain, cls, lambda transaction: transaction.log.streams(category, after, PAGE))


def _committed(domain: ActiveDomain, cls: type[StatefulElement], work: Callable[[Transaction], A]) -> A:
    transaction = domain.database(cls.__protean__.provider).transaction()
    try:
        done = work(transaction)
        transaction.commit()
        return done
    finally:
        transaction.rollback()
