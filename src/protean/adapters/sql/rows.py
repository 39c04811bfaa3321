"""State rows: read by key or by query, written in one round trip.

Changes are sent as a pipeline of single-row statements, which lock rows in the given order: that is what keeps
two units of work in bulk from deadlocking. One `UPDATE … FROM unnest(…)` locks them in the order of its plan.
It takes a fifth of the time for 100 rows, the same for 10, and twice the time for one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

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
        try:
            statements = [self._statement(change) for change in changes]
            self._session.counts(statements, lambda number, rows: _check(changes[number], rows))
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
        shape = self._shape_of(change.table)
        if isinstance(change, Delete):
            return shape.statement(change), _addressed([], change)
        checked_row(change.table, change.values, complete=not isinstance(change, Update), columns=shape.columns)
        bound = [shape.into(name, value) for name, value in change.values.items()]
        return shape.statement(change), _addressed(bound, change) if isinstance(change, Update) else bound


def _addressed(bound: list[Any], change: Update | Delete) -> list[Any]:
    """The values, then the key, then the expected version if there is one."""
    bound.append(change.key)
    if change.expected_version is not None:
        bound.append(change.expected_version)
    return bound


def _check(change: Change, rows: int) -> None:
    """Raise what it means that this change touched no row, if it did and it means anything."""
    if rows:
        return
    if isinstance(change, (Update, Delete)) and change.expected_version is not None:
        raise ExpectedVersionError(
            f"{change.table.name} {change.key!r} is gone or no longer at version {change.expected_version}"
        )
    if isinstance(change, Update):
        raise ExpectedVersionError(f"{change.table.name} {change.key!r} is gone")
