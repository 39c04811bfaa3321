"""State rows: read by key or by query, written in one round trip, locked in the given order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from protean.adapters.sql import bulk
from protean.adapters.sql.query import order_and_page, refuse_value, where
from protean.adapters.sql.session import Session, Statement
from protean.adapters.sql.shape import Shape
from protean.adapters.values import checked_row
from protean.exceptions import ExpectedVersionError, ProteanError
from protean.ports.query import Lookup, Query, Where
from protean.ports.rows import Change, Delete, Key, Row, Table, Update


class SqlRows:
    """`Rows` in SQL. `shape_of` is the database's, which keeps the shapes of its tables."""

    def __init__(self, session: Session, shape_of: Callable[[Table], Shape]) -> None:
        self._session = session
        self._shape_of = shape_of

    def get(self, table: Table, key: Key) -> Row | None:
        shape = self._shape_of(table)
        refuse_value(shape.columns[table.key], key)
        rows = self._session.fetch(shape.get, (key,))
        return shape.row(rows[0]) if rows else None

    def get_many(self, table: Table, keys: Collection[Key]) -> list[Row]:
        return self.select(Query(where=Where(table.key, Lookup.IN, list(keys))), table) if keys else []

    def select(self, query: Query, table: Table) -> list[Row]:
        shape = self._shape_of(table)
        values: list[Any] = []
        sql = f"{shape.select} WHERE {where(query.where, shape, values)}{order_and_page(query, shape, values)}"
        return [shape.row(row) for row in self._session.fetch(sql, values)]

    def count(self, query: Query, table: Table) -> int:
        shape = self._shape_of(table)
        values: list[Any] = []
        sql = f"SELECT count(*) FROM {shape.name} WHERE {where(query.where, shape, values)}"  # noqa: S608 -- quoted
        return int(self._session.fetch(sql, values)[0][0])

    def write(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        statements: list[Statement] = []
        expected: list[Sequence[Change]] = []  # the changes that each statement carries out; none: it only locks
        try:
            for run in bulk.runs(changes):
                if self._session.postgresql and bulk.in_one(run):
                    together = bulk.statements(run, self._shape_of(run[0].table), self._bound)
                    statements += together
                    expected += [()] * (len(together) - 1) + [run]
                else:
                    statements += map(self._statement, run)
                    expected += [(change,) for change in run]
            self._session.counts(statements, lambda number, rows: _check(expected[number], rows))
        except ProteanError:
            self._session.spoil()
            raise

    def update_where(self, query: Query, table: Table, values: Row) -> int:
        checked_row(table, values, complete=False)
        shape = self._shape_of(table)
        bound = [shape.into(name, value) for name, value in values.items()]
        sql = f"{shape.update_all(tuple(values))} WHERE {where(query.where, shape, bound)}"
        return self._session.counts([(sql, bound)])[0]

    def delete_where(self, query: Query, table: Table) -> int:
        shape = self._shape_of(table)
        bound: list[Any] = []
        sql = f"DELETE FROM {shape.name} WHERE {where(query.where, shape, bound)}"  # noqa: S608 -- quoted
        return self._session.counts([(sql, bound)])[0]

    def _statement(self, change: Change) -> Statement:
        shape, bound = self._shape_of(change.table), self._bound(change)
        return shape.statement(change), _addressed(bound, change) if isinstance(change, Update | Delete) else bound

    def _bound(self, change: Change) -> list[Any]:
        """The values of a change, checked, as the driver takes them."""
        if isinstance(change, Delete):
            return []
        shape = self._shape_of(change.table)
        checked_row(change.table, change.values, complete=not isinstance(change, Update), columns=shape.columns)
        return [shape.into(name, value) for name, value in change.values.items()]


def _addressed(bound: list[Any], change: Update | Delete) -> list[Any]:
    """The values, then the key, then the expected version if there is one."""
    bound.append(change.key)
    if change.expected_version is not None:
        bound.append(change.expected_version)
    return bound


def _check(changes: Sequence[Change], rows: int) -> None:
    """Raise what it means that these changes touched fewer rows, if they did and it means anything."""
    if rows >= len(changes):
        return
    change = changes[0]
    if len(changes) > 1 and isinstance(change, Update):
        raise ExpectedVersionError(
            f"{len(changes) - rows} of {len(changes)} rows of {change.table.name} are gone or no longer at the version "
            "they were loaded with"
        )
    if isinstance(change, (Update, Delete)) and change.expected_version is not None:
        raise ExpectedVersionError(
            f"{change.table.name} {change.key!r} is gone or no longer at version {change.expected_version}"
        )
    if isinstance(change, Update):
        raise ExpectedVersionError(f"{change.table.name} {change.key!r} is gone")
