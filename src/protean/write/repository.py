"""Loading and saving one kind of object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from protean.elements.element import StatefulElement
from protean.exceptions import ObjectNotFoundError
from protean.ports.database import Transaction
from protean.ports.query import Query
from protean.ports.rows import Column, Key, Row, Table
from protean.write.context import ActiveDomain
from protean.write.query import Q, QuerySet
from protean.write.tables import checked_key, columns_of, stored, table_of
from protean.write.unit_of_work import UnitOfWork, current_unit_of_work, restored

T = TypeVar("T")
R = TypeVar("R")


class Repository(Generic[T]):
    """The collection of all objects of one aggregate or projection.

    Inside a unit of work it reads and writes in that one's transaction; outside, each call has its own.
    """

    def __init__(self, domain: ActiveDomain, element: type[T]) -> None:
        self._domain = domain
        self._element = stored(element)
        self._reading = _Reading(domain, self._element, table_of(self._element))

    def add(self, element: T) -> T:
        """Save a new or changed object. Raises ExpectedVersionError, ValidationError when the transaction ends."""
        with UnitOfWork(self._domain) as unit:
            unit.add(cast("StatefulElement", element))
        return element

    def remove(self, element: T) -> None:
        """Delete the object; its history in the log stays."""
        with UnitOfWork(self._domain) as unit:
            unit.remove(cast("StatefulElement", element))

    def get(self, identity: Any) -> T:
        """The object with that identity. Raises ObjectNotFoundError."""
        found = self.get_or_none(identity)
        if found is None:
            raise ObjectNotFoundError(f"there is no {self._element.__name__} with identity {identity!r}")
        return found

    def get_or_none(self, identity: Any) -> T | None:
        """The object with that identity, or None."""
        key = checked_key(self._element, identity)
        unit = current_unit_of_work(self._domain)
        if unit is not None:
            return cast("T | None", unit.get(self._element, key))
        row = self._reading.get(key)
        return None if row is None else cast("T", restored(self._element, row))

    def find(self, *conditions: Q, **comparisons: Any) -> QuerySet[T]:
        """All that match."""
        return self.query.filter(*conditions, **comparisons)

    def find_by(self, *conditions: Q, **comparisons: Any) -> T:
        """The one that matches. Raises ObjectNotFoundError if none does, InvalidOperationError if several do."""
        return self.find(*conditions, **comparisons).only()

    def exists(self, *conditions: Q, **comparisons: Any) -> bool:
        """Whether any matches."""
        return self.find(*conditions, **comparisons).exists()

    @property
    def query(self) -> QuerySet[T]:
        """A query over all objects."""
        return QuerySet(self._reading, self._build)

    @property
    def _dao(self) -> Repository[T]:
        """An older address of `query`: `repo._dao.query`."""
        return self

    def _build(self, row: Row) -> T:
        unit = current_unit_of_work(self._domain)
        return cast("T", restored(self._element, row) if unit is None else unit.loaded(self._element, row))


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reads in the unit of work around, after writing what that has pending; else in a transaction a call."""

    domain: ActiveDomain
    element: type[StatefulElement]
    table: Table

    @property
    def columns(self) -> Mapping[str, Column]:
        return columns_of(self.element)

    def get(self, key: Key) -> Row | None:
        return self._run(lambda transaction: transaction.rows.get(self.table, key))

    def select(self, query: Query) -> list[Row]:
        return self._run(lambda transaction: transaction.rows.select(query, self.table))

    def count(self, query: Query) -> int:
        return self._run(lambda transaction: transaction.rows.count(query, self.table))

    def update_where(self, query: Query, values: Mapping[str, Any]) -> int:
        return self._run(lambda transaction: transaction.rows.update_where(query, self.table, values), changes=True)

    def delete_where(self, query: Query) -> int:
        return self._run(lambda transaction: transaction.rows.delete_where(query, self.table), changes=True)

    def _run(self, ask: Callable[[Transaction], R], *, changes: bool = False) -> R:
        unit = current_unit_of_work(self.domain)
        if unit is not None:
            unit.flush()
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
