"""One table in one database: its statements, and how its values go in and come out."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from protean.adapters.sql import moments, sqlite
from protean.adapters.sql.engine import Engine
from protean.adapters.values import IRREGULAR_LETTERS, columns_of, json_text, with_points
from protean.exceptions import InvalidOperationError
from protean.ports.rows import Change, Column, ColumnType, Delete, Insert, Row, Table, Update, Upsert


class Shape:
    """One table in one database: its quoted names, and how values go in and come out."""

    def __init__(self, table: Table, engine: Engine) -> None:
        self.table = table
        self.postgresql = engine.postgresql
        self._engine = engine
        self.name = engine.quoted(table.name)
        self.columns = columns_of(table)
        self.quoted = {column.name: engine.quoted(column.name) for column in table.columns}
        self.key = self.quoted[table.key]
        listed = ", ".join(self.quoted.values())
        self.select = f"SELECT {listed} FROM {self.name}"  # noqa: S608 -- quoted names of declared columns
        self.get = f"{self.select} WHERE {self.key} = %s"
        self._statements: dict[tuple[object, ...], str] = {}
        out = _FROM_POSTGRESQL if engine.postgresql else _FROM_SQLITE
        self._out = [
            (index, str if engine.postgresql and column.native == "uuid" else out[column.type])
            for index, column in enumerate(table.columns)
            if column.type in out or (engine.postgresql and column.native == "uuid")
        ]
        self._in = {
            column.name: convert
            for column in table.columns
            if (convert := _into(column.type, postgresql=engine.postgresql)) is not None
        }

    def statement(self, change: Change) -> str:
        """The SQL of a change, which its kind and its columns decide; values in the order said there."""
        columns = () if isinstance(change, Delete) else tuple(change.values)
        condition = change.updates if isinstance(change, Upsert) else _versioned(change)
        key = (type(change), columns, condition)
        sql = self._statements.get(key)
        if sql is None:
            sql = self._statements[key] = self._written(change, columns)
        return sql

    def _written(self, change: Change, columns: tuple[str, ...]) -> str:
        match change:
            case Insert():
                return self.insert(columns)
            case Upsert():
                return self.upsert(columns, change.updates)
            case Update():
                return self.update(columns, versioned=_versioned(change))
            case Delete():
                return self.delete(versioned=_versioned(change))

    def insert(self, columns: tuple[str, ...]) -> str:
        """A new row. Values: the columns'."""
        names = ", ".join(self.quoted[name] for name in columns)
        places = ", ".join(self.placeholder(self.columns[name]) for name in columns)
        return f"INSERT INTO {self.name} ({names}) VALUES ({places})"  # noqa: S608 -- as above

    def upsert(self, columns: tuple[str, ...], updates: Collection[str]) -> str:
        """A new row, or only the columns in `updates` of the one that has the key. Values: the columns'."""
        return self.insert(columns) + self.conflict(columns, updates)

    def conflict(self, columns: tuple[str, ...], updates: Collection[str]) -> str:
        """How an upsert's INSERT ends."""
        changed = [self.quoted[name] for name in columns if name in updates and name != self.table.key]
        assignments = ", ".join(f"{name} = excluded.{name}" for name in changed)
        return f" ON CONFLICT ({self.key}) DO {f'UPDATE SET {assignments}' if changed else 'NOTHING'}"

    def update(self, columns: tuple[str, ...], *, versioned: bool) -> str:
        """Columns of one row. Values: the columns', the key, the expected version."""
        return f"{self.update_all(columns)} WHERE {self._one(versioned=versioned)}"

    def update_all(self, columns: tuple[str, ...]) -> str:
        """Columns of every row. Values: the columns'."""
        changed = [f"{self.quoted[name]} = {self.placeholder(self.columns[name])}" for name in columns]
        changes = ", ".join(changed) or f"{self.key} = {self.key}"  # nothing to set, but a version to check
        return f"UPDATE {self.name} SET {changes}"  # noqa: S608 -- as above

    def delete(self, *, versioned: bool) -> str:
        """One row. Values: the key, the expected version."""
        return f"DELETE FROM {self.name} WHERE {self._one(versioned=versioned)}"  # noqa: S608 -- as above

    def _one(self, *, versioned: bool) -> str:
        if not versioned:
            return f"{self.key} = %s"
        if self.table.version is None:
            raise InvalidOperationError(f"{self.table.name} has no version column to compare")
        return f"{self.key} = %s AND {self.quoted[self.table.version]} = %s"

    def into(self, column: str, value: Any) -> Any:
        """A checked value as the driver takes it."""
        convert = self._in.get(column)
        return value if convert is None or value is None else convert(value)

    def row(self, values: tuple[Any, ...]) -> Row:
        """A row of all columns, in the table's order, as its Python types."""
        if self._out:
            changed = list(values)
            for index, convert in self._out:
                if changed[index] is not None:
                    changed[index] = convert(changed[index])
            return dict(zip(self.columns, changed, strict=True))
        return dict(zip(self.columns, values, strict=True))

    def comparable(self, column: Column) -> str:
        """The column where it is compared or sorted."""
        name = self.quoted[column.name]
        if self.postgresql or column.type not in _COLLATIONS:
            return name
        return f"{name} COLLATE {_COLLATIONS[column.type]}"

    def caseless(self, text: str) -> str:
        """A text column or placeholder where case is ignored, as `values.caseless` does."""
        if not self.postgresql:
            return f"protean_lower({text})"
        if not self._engine.letters:
            return f'lower({text} COLLATE "default")'
        letters, small = IRREGULAR_LETTERS
        return f"lower(translate({text}, '{letters}', '{small}') COLLATE {self._engine.letters})"

    def placeholder(self, column: Column, *, array: bool = False) -> str:
        """`%s`; with a cast for what PostgreSQL would not make of a text by itself."""
        if column.native == "uuid" and self.postgresql:
            return "%s::uuid[]" if array else "%s::uuid"
        if column.type is ColumnType.JSON and self.postgresql:
            return "%s::jsonb[]" if array else "%s::jsonb"
        return "%s"

    def column(self, name: str) -> Column:
        """Raises InvalidOperationError when there is none of that name."""
        column = self.columns.get(name)
        if column is None:
            known = ", ".join(self.columns)
            raise InvalidOperationError(f"{self.table.name} has no column {name!r}; it has {known}")
        return column


def _versioned(change: Change) -> bool:
    return isinstance(change, (Update, Delete)) and change.expected_version is not None


def _into(type_: ColumnType, *, postgresql: bool) -> Callable[[Any], Any] | None:
    return _INTO_BOTH.get(type_) or (_INTO_POSTGRESQL if postgresql else _INTO_SQLITE).get(type_)


_INTO_BOTH: Mapping[ColumnType, Callable[[Any], Any]] = {ColumnType.FLOAT: float}
_INTO_POSTGRESQL: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.DECIMAL: Decimal,
    ColumnType.JSON: lambda value: with_points(json_text(value)),
}
_COLLATIONS: Mapping[ColumnType, str] = {ColumnType.DECIMAL: sqlite.DECIMAL, ColumnType.JSON: sqlite.JSON}
_INTO_SQLITE: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.JSON: json_text,
    ColumnType.DECIMAL: str,
    ColumnType.BOOLEAN: int,
    ColumnType.DATE: date.isoformat,
    ColumnType.DATETIME: moments.to_text,
}
_FROM_POSTGRESQL: Mapping[ColumnType, Callable[[Any], Any]] = {ColumnType.DATETIME: moments.from_column}
_FROM_SQLITE: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.DECIMAL: Decimal,
    ColumnType.BOOLEAN: bool,
    ColumnType.DATE: date.fromisoformat,
    ColumnType.DATETIME: moments.from_column,
    ColumnType.JSON: json.loads,
}
