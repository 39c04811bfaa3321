"""Values that exist once, passed from row to row in one commit.

Databases look at what is unique after every statement, not at the end. So where one row is given what another one
gives up, the other is set aside first: to null, or to a value that nobody has.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from protean.exceptions import InvalidOperationError
from protean.ports.rows import Change, Column, ColumnType, Delete, Insert, Row, Table, Update

#: A table, unique columns of it, and values in them.
_Value = tuple[str, tuple[str, ...], tuple[Any, ...]]
_BITS = {"smallint": 15, "integer": 31}
#: The fewest characters of a text that nobody has by accident.
_LEAST = 9


def with_room(changes: Sequence[Change]) -> Sequence[Change]:
    """The changes in their order, and before them what sets rows aside whose values others take.

    Parts of objects come behind the objects, and are set aside behind them, so that the same locks are taken first.
    Raises InvalidOperationError when a row cannot be set aside.
    """
    unique = {id(change.table): _unique(change.table) for change in changes}
    if len(changes) < 2 or not any(unique.values()):
        return changes
    givers: dict[_Value, tuple[int, Update | Delete]] = {}
    for number, change in enumerate(changes):
        if isinstance(change, Update | Delete) and change.was is not None:
            for columns in unique[id(change.table)]:
                before = _value(change.table, columns, change.was)
                if before is not None and before != _after(change, columns):
                    givers[before] = number, change
    aside: dict[tuple[str, str | int], Update] = {}
    for number, change in enumerate(changes):
        for columns in unique[id(change.table)]:
            wanted = _after(change, columns)
            place, giver = givers.get(wanted, (-1, None)) if wanted is not None else (-1, None)
            # What is deleted before is gone. Updates may become one statement, whose rows have no order.
            if giver is not None and giver is not change and not (isinstance(giver, Delete) and place < number):
                known = aside.get((giver.table.name, giver.key))
                aside[giver.table.name, giver.key] = _set_aside(giver, columns, {} if known is None else known.values)
    if not aside:
        return changes
    objects = [change for change in changes if not change.table.part]
    parts = [change for change in changes if change.table.part]
    first = sorted(aside.values(), key=lambda each: (each.table.name, str(each.key)))
    return [
        *(each for each in first if not each.table.part),
        *objects,
        *(each for each in first if each.table.part),
        *parts,
    ]


def _unique(table: Table) -> list[tuple[str, ...]]:
    columns = [(column.name,) for column in table.columns if column.unique and column.name != table.key]
    return columns + [index.columns for index in table.indexes if index.unique]


def _after(change: Change, columns: tuple[str, ...]) -> _Value | None:
    """What the row holds of these columns once the change is carried out."""
    match change:
        case Insert():
            return _value(change.table, columns, change.values)
        case Update() if change.was is not None:
            return _value(change.table, columns, {**change.was, **change.values})
    return None


def _value(table: Table, columns: tuple[str, ...], row: Row) -> _Value | None:
    values = tuple(row.get(name) for name in columns)
    return None if None in values else (table.name, columns, values)


def _set_aside(giver: Update | Delete, columns: tuple[str, ...], others: Row) -> Update:
    """An update that leaves the row's version as it is; what it sets, the row's own change sets again."""
    by_name = {column.name: column for column in giver.table.columns}
    changed = [by_name[name] for name in columns if isinstance(giver, Delete) or name in giver.values]
    for column in sorted(changed, key=lambda column: column.required):
        free, value = _nobodys(column)
        if free:
            return Update(giver.table, giver.key, {**others, column.name: value}, giver.expected_version)
    raise InvalidOperationError(
        f"{giver.table.name} {giver.key!r:.50} gives up {' and '.join(columns)} to another row of the same commit, and "
        "in between it would have to hold something else there, which a required column of that type cannot; save it "
        "with another value in a commit before"
    )


def _nobodys(column: Column) -> tuple[bool, Any]:
    """Whether the column can hold a value that no row has, and that value."""
    if not column.required:
        return True, None
    if column.native == "uuid":
        return True, str(uuid4())
    if column.type in (ColumnType.STRING, ColumnType.TEXT) and (column.length is None or column.length >= _LEAST):
        return True, f"~{uuid4().hex}"[: column.length]
    if column.type is ColumnType.INTEGER:
        return True, -secrets.randbelow(2 ** _BITS.get(column.native, 63)) - 1
    return False, None
