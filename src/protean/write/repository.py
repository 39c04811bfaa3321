"""Loading and saving one kind of object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

from protean.elements.associations import held
from protean.elements.element import StatefulElement
from protean.elements.entity import EntityElement
from protean.elements.sourcing import EventSourcedElement
from protean.exceptions import InvalidOperationError, ObjectNotFoundError, TakenError
from protean.ports.database import Transaction
from protean.ports.query import Query
from protean.ports.rows import Column, Key, Row, Table
from protean.write.assigning import assigned
from protean.write.context import ActiveDomain
from protean.write.parts import delete_where
from protean.write.query import Q, QuerySet, only_key
from protean.write.restriction import refuse_to_change
from protean.write.storages import storage_of
from protean.write.storing import by_field, restored
from protean.write.stream_storage import StreamStorage, check_moment, event_sourced, unqueryable, unremovable
from protean.write.tables import checked_key, columns_of, stored, table_of
from protean.write.unit_of_work import UnitOfWork, current_unit_of_work

T = TypeVar("T")
R = TypeVar("R")


class Repository(Generic[T]):
    """The collection of all objects of one aggregate or projection.

    Inside a unit of work it reads and writes in that one's transaction; outside, each call has its own.
    """

    def __init__(self, domain: ActiveDomain, element: type[T]) -> None:
        self._domain = domain
        self._element = stored(element)
        self._reading = Reading(domain, self._element, table_of(self._element))

    def add(self, element: T) -> T:
        """Save a new or changed object. Raises ExpectedVersionError, ValidationError when the transaction ends."""
        with UnitOfWork(self._domain) as unit:
            unit.add(self._mine(element))
        return element

    def remove(self, element: T) -> None:
        """Delete the object; its history in the log stays. Raises NotSupportedError for an event-sourced one."""
        if issubclass(self._element, EventSourcedElement):
            raise unremovable(self._element)
        with UnitOfWork(self._domain) as unit:
            unit.remove(self._mine(element))

    def get(self, identity: Any, *, at_version: int | None = None, as_of: datetime | None = None) -> T:
        """The object with that identity. Raises ObjectNotFoundError.

        An event-sourced one also as it was behind the event at the position `at_version` (0, 1, …), or at the moment
        `as_of`, which has a time zone: to be looked at, not to be changed. Raises NotSupportedError for others.
        """
        found = self.get_or_none(identity, at_version=at_version, as_of=as_of)
        if found is None:
            when = "" if at_version is None else f" and version {at_version}"
            when += "" if as_of is None else f" at {as_of.isoformat()}"
            raise ObjectNotFoundError(f"there is no {self._element.__name__} with identity {identity!r}{when}")
        return found

    def get_or_none(self, identity: Any, *, at_version: int | None = None, as_of: datetime | None = None) -> T | None:
        """The object with that identity, or None; of the past, see `get`."""
        key = checked_key(self._element, identity)
        if at_version is not None or as_of is not None:
            check_moment(self._element, at_version, as_of)
            return cast("T | None", self._reading.past(key, at_version, as_of))
        unit = current_unit_of_work(self._domain)
        if unit is not None:
            return cast("T | None", unit.get(self._element, key))
        return cast("T | None", self._reading.get(key))

    def find(self, *conditions: Q, **comparisons: Any) -> QuerySet[T]:
        """All that match."""
        return self.query.filter(*conditions, **comparisons)

    def find_by(self, *conditions: Q, **comparisons: Any) -> T:
        """The one that matches. Raises ObjectNotFoundError if none does, InvalidOperationError if several do."""
        return self.find(*conditions, **comparisons).only()

    def exists(self, *conditions: Q, **comparisons: Any) -> bool:
        """Whether any matches. Event-sourced ones are asked for by their identity alone: `exists(id="1")`."""
        identity = self._element.__protean__.identity or ""
        if issubclass(self._element, EventSourcedElement) and not conditions and set(comparisons) == {identity}:
            return self.get_or_none(comparisons[identity]) is not None
        return self.find(*conditions, **comparisons).exists()

    @property
    def query(self) -> QuerySet[T]:
        """A query over all objects. Raises NotSupportedError for event-sourced ones."""
        if issubclass(self._element, EventSourcedElement):
            raise unqueryable(self._element)
        return QuerySet(self._reading, self._build)

    @property
    def _dao(self) -> Repository[T]:
        """An older address of `query`: `repo._dao.query`."""
        return self

    def _mine(self, element: object) -> StatefulElement:
        if not isinstance(element, self._element):
            hint = ""
            if isinstance(element, EntityElement):
                hint = f"; an entity is saved with what has it: put it into a field of the {self._element.__name__}"
            raise InvalidOperationError(
                f"this repository keeps objects of {self._element.__name__}, not {element!r:.80}{hint}"
            )
        return element

    def _build(self, row: Row) -> T:
        unit = current_unit_of_work(self._domain)
        return cast("T", restored(self._element, row) if unit is None else unit.loaded(self._element, row))


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads in the unit of work around, after writing what that has pending; else in a transaction a call."""

    domain: ActiveDomain
    element: type[StatefulElement]
    table: Table

    @property
    def columns(self) -> Mapping[str, Column]:
        return columns_of(self.element)

    def get(self, key: Key) -> StatefulElement | None:
        found = self._run(lambda transaction: storage_of(self.domain, self.element).load(transaction, [key]).get(key))
        if found is None:
            self._missed(key)
        return found

    def past(self, key: Key, at_version: int | None, as_of: datetime | None) -> StatefulElement | None:
        """An event-sourced object as it was."""
        storage = StreamStorage(self.domain, event_sourced(self.element))
        return self._run(lambda transaction: storage.past(transaction, key, at_version, as_of))

    def select(self, query: Query) -> list[Row]:
        rows = self._run(lambda transaction: transaction.rows.select(query, self.table))
        if not rows and (key := only_key(query, self.table)) is not None:
            self._missed(key)
        return rows

    def complete(self, rows: list[Row]) -> list[Row]:
        if not any(held(self.element)):
            return rows
        return self._run(lambda transaction: storage_of(self.domain, self.element).complete(transaction, rows))

    def count(self, query: Query) -> int:
        return self._run(lambda transaction: transaction.rows.count(query, self.table))

    def assigned(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        return assigned(self.element, values)

    def update_where(self, query: Query, values: Mapping[str, Any]) -> int:
        try:
            return self._run(lambda transaction: transaction.rows.update_where(query, self.table, values), changes=True)
        except TakenError as error:
            raise by_field(error, [self.element]) from error

    def delete_where(self, query: Query) -> int:
        return self._run(lambda transaction: delete_where(transaction, self.element, query), changes=True)

    def _missed(self, key: Key) -> None:
        if (unit := current_unit_of_work(self.domain)) is not None:
            unit.missed(self.element, key)

    def _run(self, ask: Callable[[Transaction], R], *, changes: bool = False) -> R:
        if changes:
            refuse_to_change(self.element)
        unit = current_unit_of_work(self.domain)
        if unit is not None:
            unit.flush()
            unit.foresee()
            answer = ask(unit.transaction(self.element.__protean__.provider))
            if changes:
                unit.reread(self.element)
            return answer
        transaction = self.domain.database(self.element.__protean__.provider).transaction()
        try:
            answer = ask(transaction)
            transaction.commit()  # also after reading: the driver forgets what it has prepared at a rollback
            return answer
        finally:
            transaction.rollback()
