"""Rows in memory: the same answers as from SQL, by comparing Python values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from operator import eq, ge, gt, itemgetter, le, lt
from typing import Any

from protean.adapters.memory.session import Session
from protean.adapters.memory.store import Taken
from protean.adapters.values import caseless, checked_row, columns_of, comparable_json, complaint_about, utc
from protean.exceptions import ExpectedVersionError, InvalidOperationError, ProteanError, TakenError, ValidationError
from protean.ports.query import AllOf, AnyOf, Condition, Lookup, Not, Query, Where
from protean.ports.rows import Change, Column, ColumnType, Delete, Insert, Key, Row, Table, Update, Upsert

_COMPARE: Mapping[Lookup, Callable[[Any, Any], bool]] = {
    Lookup.EXACT: eq,
    Lookup.GT: gt,
    Lookup.GTE: ge,
    Lookup.LT: lt,
    Lookup.LTE: le,
}
_COMPARE_TEXT: Mapping[Lookup, Callable[[str, str], bool]] = {
    Lookup.IEXACT: lambda text, given: caseless(text) == caseless(given),
    Lookup.CONTAINS: lambda text, given: given in text,
    Lookup.ICONTAINS: lambda text, given: caseless(given) in caseless(text),
    Lookup.STARTSWITH: str.startswith,
    Lookup.ENDSWITH: str.endswith,
}
_CONVERT: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.FLOAT: float,
    ColumnType.DECIMAL: Decimal,
    ColumnType.DATETIME: utc,
    ColumnType.JSON: copy.deepcopy,
}


class MemoryRows:
    """`Rows` in memory. What goes in and out is copied, so that nobody can change what is stored."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, table: Table, key: Key) -> Row | None:
        _refuse(columns_of(table)[table.key], key)
        row = self._session.seen(table).rows[table.name].get(key)
        return None if row is None else copy.deepcopy(row)

    def get_many(self, table: Table, keys: Collection[Key]) -> list[Row]:
        return [row for key in dict.fromkeys(keys) if (row := self.get(table, key)) is not None]

    def lock(self, table: Table, keys: Sequence[Key], *, wait: bool = True) -> list[Row]:
        del wait  # the one lock there is was waited for before
        self._session.changing(table)
        return self.get_many(table, keys)

    def select(self, query: Query, table: Table) -> list[Row]:
        rows = self._matching(query.where, table)
        rows.sort(key=itemgetter(table.key))
        for order in reversed(query.order_by):
            name = _column(table, order.column).name
            nulls = [row for row in rows if row[name] is None]
            others = [row for row in rows if row[name] is not None]
            others.sort(key=itemgetter(name), reverse=order.descending)
            rows = nulls + others if order.descending else others + nulls
        end = None if query.limit is None else query.offset + query.limit
        return [copy.deepcopy(row) for row in rows[query.offset : end]]

    def count(self, query: Query, table: Table) -> int:
        return len(self._matching(query.where, table))

    def write(self, changes: Sequence[Change]) -> None:
        try:
            for change in changes:
                self._carry_out(change)
        except ProteanError:
            self._session.spoil()
            raise

    def next_number(self, table: Table) -> int:
        given = [key for key in self._session.seen(table).rows[table.name] if isinstance(key, int)]
        return self._session.next_number(f"{table.name}.{table.key}", above=max(given, default=0))

    def update_where(self, query: Query, table: Table, values: Row) -> int:
        checked_row(table, values, complete=False)
        matching = self._matching(query.where, table, writing=True)
        try:
            for row in matching:
                self._put(table, row[table.key], {**row, **_stored(table, values)})
        except TakenError:
            self._session.spoil()
            raise
        return len(matching)

    def delete_where(self, query: Query, table: Table) -> int:
        matching = self._matching(query.where, table, writing=True)
        for row in matching:
            self._remove(table, row[table.key])
        return len(matching)

    def _carry_out(self, change: Change) -> None:
        table = change.table
        rows = self._session.changing(table).rows[table.name]
        if isinstance(change, (Insert, Upsert)):
            checked_row(table, change.values, complete=True)
            key, stored = change.values[table.key], _stored(table, change.values)
            present = rows.get(key)
            if present is None:
                self._put(table, key, {column.name: column.default for column in table.columns} | stored)
            elif isinstance(change, Insert):
                raise TakenError(table.name, [table.key])
            else:
                self._put(table, key, {**present, **{name: stored[name] for name in change.updates}})
            return
        row = rows.get(change.key)
        if row is None or not _has_version(row, table, change.expected_version):
            if isinstance(change, Update) or change.expected_version is not None:
                raise ExpectedVersionError(
                    f"{table.name} {change.key!r} is gone or no longer at version {change.expected_version}"
                )
        elif isinstance(change, Delete):
            self._remove(table, change.key)
        else:
            checked_row(table, change.values, complete=False)
            self._put(table, change.key, {**row, **_stored(table, change.values)})

    def _put(self, table: Table, key: Key, row: Row) -> None:
        contents = self._session.changing(table)
        mine = _taken(table, row)
        for entry in mine:
            if contents.taken.get(entry, key) != key:
                raise TakenError(table.name, entry[1])
        self._remove(table, key)
        contents.rows[table.name][key] = row
        contents.taken.update(mine)

    def _remove(self, table: Table, key: Key) -> None:
        contents = self._session.changing(table)
        row = contents.rows[table.name].pop(key, None)
        for entry in _taken(table, row) if row is not None else ():
            contents.taken.pop(entry, None)

    def _matching(self, condition: Condition, table: Table, *, writing: bool = False) -> list[Row]:
        contents = self._session.changing(table) if writing else self._session.seen(table)
        holds = _predicate(condition, table)
        return [row for row in list(contents.rows[table.name].values()) if holds(row)]


def _taken(table: Table, row: Row) -> dict[Taken, Key]:
    """What the row takes of what is unique in its table; null takes nothing."""
    unique: list[tuple[str, ...]] = [(column.name,) for column in table.columns if column.unique]
    unique += [index.columns for index in table.indexes if index.unique]
    entries = [(table.name, columns, tuple(row[name] for name in columns)) for columns in unique]
    return {entry: row[table.key] for entry in entries if None not in entry[2]}


def _stored(table: Table, values: Row) -> dict[str, Any]:
    """Checked values as they are kept: copies, and of the columns' own types."""
    columns = columns_of(table)
    return {
        name: value if value is None or (convert := _CONVERT.get(columns[name].type)) is None else convert(value)
        for name, value in values.items()
    }


def _has_version(row: Row, table: Table, expected: int | None) -> bool:
    if expected is None:
        return True
    if table.version is None:
        raise InvalidOperationError(f"{table.name} has no version column to compare")
    return bool(row[table.version] == expected)


def _predicate(condition: Condition, table: Table) -> Callable[[Row], bool]:
    match condition:
        case Where():
            return _comparison(condition, table)
        case AllOf(parts):
            all_of = [_predicate(part, table) for part in parts]
            return lambda row: all(holds(row) for holds in all_of)
        case AnyOf(parts):
            any_of = [_predicate(part, table) for part in parts]
            return lambda row: any(holds(row) for holds in any_of)
        case Not(part):
            negated = _predicate(part, table)
            return lambda row: not negated(row)


def _comparison(condition: Where, table: Table) -> Callable[[Row], bool]:
    column = _column(table, condition.column)
    name, lookup, value = column.name, condition.lookup, condition.value
    if lookup is Lookup.ISNULL or (lookup is Lookup.EXACT and value is None):
        wanted = bool(value) or lookup is Lookup.EXACT
        return lambda row: (row[name] is None) is wanted
    if value is None:
        return lambda _: False
    if lookup is Lookup.IN:
        listed = [member for member in value if member is not None]
        for member in listed:
            _refuse(column, member)
        alike = comparable_json if column.type is ColumnType.JSON else _itself
        members = [alike(member) for member in listed] if column.type is ColumnType.JSON else frozenset(listed)
        return lambda row: row[name] is not None and alike(row[name]) in members
    _refuse(column, value)
    if (compare_text := _COMPARE_TEXT.get(lookup)) is not None:
        if column.type not in (ColumnType.STRING, ColumnType.TEXT):
            raise InvalidOperationError(f"{name} is {column.type}, not text; `{lookup}` cannot be asked of it")
        return lambda row: row[name] is not None and compare_text(row[name], value)
    if column.type is ColumnType.JSON and lookup is not Lookup.EXACT:
        raise InvalidOperationError(f"{name} is JSON, which has no order; `{lookup}` cannot be asked of it")
    alike = comparable_json if column.type is ColumnType.JSON else _itself
    compare, compared = _COMPARE[lookup], alike(value)
    return lambda row: row[name] is not None and compare(alike(row[name]), compared)


def _itself(value: Any) -> Any:
    return value


def _column(table: Table, name: str) -> Column:
    for column in table.columns:
        if column.name == name:
            return column
    known = ", ".join(column.name for column in table.columns)
    raise InvalidOperationError(f"{table.name} has no column {name!r}; it has {known}")


def _refuse(column: Column, value: Any) -> None:
    if (complaint := complaint_about(replace(column, length=None, required=False), value)) is not None:
        raise ValidationError({column.name: [complaint]})
