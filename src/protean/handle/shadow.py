"""A transaction in which one table stands for another, so that handlers fill it without knowing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from protean.exceptions import InvalidOperationError
from protean.ports.query import Query
from protean.ports.rows import Change, Key, Row, Rows, Table


class ShadowRows:
    """`Rows` where those of `table` are the shadow's. Other tables can be read only."""

    def __init__(self, rows: Rows, table: Table, shadow: Table) -> None:
        self._rows = rows
        self._table = table.name
        self._shadow = shadow

    def get(self, table: Table, key: Key) -> Row | None:
        """See `Rows`."""
        return self._rows.get(self._shown(table), key)

    def get_many(self, table: Table, keys: Collection[Key]) -> list[Row]:
        """See `Rows`."""
        return self._rows.get_many(self._shown(table), keys)

    def lock(self, table: Table, keys: Sequence[Key], *, wait: bool = True) -> list[Row]:
        """See `Rows`. Rows of other tables, which are not changed, are read without a lock."""
        if table.name != self._table:
            return self._rows.get_many(table, keys)
        return self._rows.lock(self._shadow, keys, wait=wait)

    def select(self, query: Query, table: Table) -> list[Row]:
        """See `Rows`."""
        return self._rows.select(query, self._shown(table))

    def count(self, query: Query, table: Table) -> int:
        """See `Rows`."""
        return self._rows.count(query, self._shown(table))

    def write(self, changes: Sequence[Change]) -> None:
        """See `Rows`."""
        self._rows.write([replace(change, table=self._changed(change.table)) for change in changes])

    def next_number(self, table: Table) -> int:
        """See `Rows`."""
        return self._rows.next_number(self._changed(table))

    def update_where(self, query: Query, table: Table, values: Row) -> int:
        """See `Rows`."""
        return self._rows.update_where(query, self._changed(table), values)

    def delete_where(self, query: Query, table: Table) -> int:
        """See `Rows`."""
        return self._rows.delete_where(query, self._changed(table))

    def _shown(self, table: Table) -> Table:
        return self._shadow if table.name == self._table else table

    def _changed(self, table: Table) -> Table:
        if table.name != self._table:
            raise InvalidOperationError(
                f"the table {table.name} cannot be changed while {self._table} is rebuilt: history is repeated for "
                "that one only"
            )
        return self._shadow
