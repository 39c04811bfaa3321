"""Reading a projection, and nothing else: what queries and pages are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar, cast

from protean.elements.projection import ProjectionElement
from protean.exceptions import ConfigurationError, InvalidOperationError, ObjectNotFoundError
from protean.ports.query import Query
from protean.ports.rows import Column, Row, Table
from protean.write.context import ActiveDomain
from protean.write.query import Q, QuerySet
from protean.write.repository import Reading
from protean.write.storing import restored
from protean.write.tables import checked_key, table_of

T = TypeVar("T")


class View(Generic[T]):
    """The rows of one projection, to be read.

    What it returns are copies: nothing that is done to them is saved, also not at the end of a unit of work.
    """

    def __init__(self, domain: ActiveDomain, projection: type[T]) -> None:
        if not issubclass(projection, ProjectionElement):
            raise ConfigurationError(
                f"view_for() takes a projection, not {projection.__name__}; what is written and read by commands is "
                f"found in repository_for({projection.__name__})"
            )
        self._projection = projection
        self._reading = Reading(domain, projection, table_of(projection))

    def get(self, identity: Any) -> T:
        """The row with that identity. Raises ObjectNotFoundError."""
        found = self.get_or_none(identity)
        if found is None:
            raise ObjectNotFoundError(f"there is no {self._projection.__name__} with identity {identity!r}")
        return found

    def get_or_none(self, identity: Any) -> T | None:
        """The row with that identity, or None."""
        return cast("T | None", self._reading.get(checked_key(self._reading.element, identity)))

    def find(self, *conditions: Q, **comparisons: Any) -> QuerySet[T]:
        """All that match."""
        return self.query.filter(*conditions, **comparisons)

    def find_by(self, *conditions: Q, **comparisons: Any) -> T:
        """The one that matches. Raises ObjectNotFoundError if none does, InvalidOperationError if several do."""
        return self.find(*conditions, **comparisons).only()

    def exists(self, *conditions: Q, **comparisons: Any) -> bool:
        """Whether any matches."""
        return self.find(*conditions, **comparisons).exists()

    def count(self, *conditions: Q, **comparisons: Any) -> int:
        """How many match."""
        return self.find(*conditions, **comparisons).count()

    @property
    def query(self) -> QuerySet[T]:
        """A query over all rows, whose `update` and `delete` are refused."""
        return QuerySet(_OnlyReading(self._reading), self._copy)

    def add(self, _row: object) -> NoReturn:
        """Refused: raises InvalidOperationError."""
        _refuse(self._projection, "add() a row")

    def remove(self, _row: object) -> NoReturn:
        """Refused: raises InvalidOperationError."""
        _refuse(self._projection, "remove() a row")

    def _copy(self, row: Row) -> T:
        return cast("T", restored(self._reading.element, row))


@dataclass(frozen=True, slots=True)
class _OnlyReading:
    reading: Reading

    @property
    def table(self) -> Table:
        return self.reading.table

    @property
    def columns(self) -> Mapping[str, Column]:
        return self.reading.columns

    def select(self, query: Query) -> list[Row]:
        return self.reading.select(query)

    def complete(self, rows: list[Row]) -> list[Row]:
        return self.reading.complete(rows)

    def count(self, query: Query) -> int:
        return self.reading.count(query)

    def assigned(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        del values
        _refuse(self.reading.element, "update() rows")

    def update_where(self, query: Query, values: Mapping[str, Any]) -> int:
        del query, values
        _refuse(self.reading.element, "update() rows")

    def delete_where(self, query: Query) -> int:
        del query
        _refuse(self.reading.element, "delete() rows")


def _refuse(projection: type, what: str) -> NoReturn:
    raise InvalidOperationError(
        f"a view of {projection.__name__} does not {what}: it only reads. A projection changes in its projector, "
        f"through repository_for({projection.__name__})"
    )
