"""Entities in tables of their own: read for many owners at once, written as what differs.

A row "with its parts" holds, beside its columns, the rows of each field's entities under the field's name: a list of
them for HasMany, one or None for HasOne. They are rows with their parts in turn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from protean.elements.associations import entity_class, held
from protean.elements.element import StatefulElement, info_of
from protean.elements.entity import owner_column
from protean.exceptions import ValidationError
from protean.fields.associations import Bond
from protean.ports.database import Transaction
from protean.ports.query import AllOf, Lookup, Query, Where
from protean.ports.rows import Change, Delete, Insert, Key, Row, Table, Update
from protean.write.ordering import positions
from protean.write.tables import FIELD, POSITION, table_of

#: Rows of entities by table and identity.
Flat = dict[tuple[str, Key], tuple[Table, Row]]
_Class = type[StatefulElement]

#: Objects deleted at a time when a query deletes objects with parts. More is faster and holds more memory.
PAGE = 500


def with_parts(transaction: Transaction, cls: _Class, rows: list[Row]) -> list[Row]:
    """The rows with their parts: one statement for each class of entities and level, however many rows."""
    if not rows or not any(held(cls)):
        return rows
    key, column = table_of(cls).key, owner_column(cls)
    found: dict[tuple[str, Key], list[Row]] = defaultdict(list)
    for entity in dict.fromkeys(entity_class(association) for _, association in held(cls)):
        theirs = Query(Where(column, Lookup.IN, [row[key] for row in rows]))
        for part in with_parts(transaction, entity, transaction.rows.select(theirs, table_of(entity))):
            found[_field_of(cls, entity, part), part[column]].append(part)
    return [{**row, **_nested(cls, row[key], found)} for row in rows]


def part_changes(cls: _Class, before: Row | None, after: Row | None) -> tuple[list[Change], Row | None]:
    """What must be written of the parts for `before`, as the tables have it, to become `after`; and `after` as the
    tables then have it. None: the object is not there.

    Raises ValidationError when an entity is in two places.
    """
    old = _flat(cls, before)
    placed = None if after is None else _placed(cls, after, old)
    new = _flat(cls, placed)
    gone: list[Change] = [
        Delete(table, identity[1], was=row) for identity, (table, row) in old.items() if identity not in new
    ]
    inserts: list[Change] = []
    updates: list[Change] = []
    for identity, (table, row) in new.items():
        if identity not in old:
            inserts.append(Insert(table, row))
            continue
        was = old[identity][1]
        changed = {name: value for name, value in row.items() if was[name] != value}
        if changed:
            updates.append(Update(table, identity[1], changed, was=was))
    return [*gone, *updates, *inserts], placed


def delete_where(transaction: Transaction, cls: _Class, query: Query) -> int:
    """Delete all objects that match, with their parts; how many."""
    table = table_of(cls)
    if not any(held(cls)):
        return transaction.rows.delete_where(query, table)
    deleted = 0
    while True:
        page = transaction.rows.select(Query(query.where, limit=PAGE), table)
        keys: list[Key] = [row[table.key] for row in page]
        # The objects first: whoever saves one changes its row first, and then its parts.
        these = Where(table.key, Lookup.IN, keys)
        gone = transaction.rows.delete_where(Query(AllOf((query.where, these))), table)
        if gone < len(keys):  # some have changed since they were read, and match no longer
            left = {row[table.key] for row in transaction.rows.get_many(table, keys)}
            keys = [key for key in keys if key not in left]
        _delete_parts(transaction, cls, keys)
        deleted += gone
        if len(page) < PAGE:
            return deleted


def in_batches(changes: list[Change]) -> list[Change]:
    """The objects' own rows in the order given, then those of their parts by table, so that many become one statement.

    Whoever changes a part has changed its object's row before, and waits there for others who do; so the order of the
    parts among themselves is free.
    """
    return sorted(changes, key=_batch)


def _batch(change: Change) -> tuple[int, str]:
    if not change.table.part:
        return 0, ""
    kinds = (Delete, Update, Insert)  # what is unique is given up before it is taken
    return 1 + kinds.index(type(change)), change.table.name


def _field_of(cls: _Class, entity: _Class, row: Row) -> str:
    fields = [field for owner, field in info_of(entity).holders if owner is cls]
    field = row.get(FIELD)
    return field if field in fields else fields[0]


def _nested(cls: _Class, key: Key, found: Mapping[tuple[str, Key], list[Row]]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, association in held(cls):
        parts = found.get((name, key), [])
        if association.bond is Bond.MANY:
            # A row without a number came from elsewhere; it goes to the end.
            nested[name] = sorted(parts, key=lambda part: (part[POSITION] is None, part[POSITION] or 0))
        else:
            nested[name] = parts[0] if parts else None
    return nested


def _parts(row: Row, name: str) -> list[Row]:
    value = row[name]
    return value if isinstance(value, list) else [] if value is None else [value]


def _flat(cls: _Class, row: Row | None) -> Flat:
    flat: Flat = {}
    if row is not None:
        _flatten(cls, row, flat, "")
    return flat


def _flatten(cls: _Class, row: Row, flat: Flat, path: str) -> None:
    for name, association in held(cls):
        entity = entity_class(association)
        table = table_of(entity)
        for position, part in enumerate(_parts(row, name)):
            identity = table.name, part[table.key]
            if identity in flat:
                where = f"{entity.__name__} {part[table.key]!r:.50}, item {position} of `{name}`, is somewhere else"
                what = "take it out there, or give this one an identity of its own"
                raise ValidationError({path or name: [f"{where} in this object too; {what}"]})
            # Columns that only the table has are not in what is about to be written.
            flat[identity] = table, {column.name: part[column.name] for column in table.columns if column.name in part}
            _flatten(entity, part, flat, path or name)


def _placed(cls: _Class, row: Row, old: Flat) -> Row:
    """The row, its parts knowing whose they are and where."""
    key: Key = row[table_of(cls).key]
    nested: dict[str, Any] = {}
    for name, association in held(cls):
        entity, parts = entity_class(association), _parts(row, name)
        table = table_of(entity)
        names = {column.name for column in table.columns}
        mine = {owner_column(owner): key if owner is cls else None for owner, _ in info_of(entity).holders}
        if FIELD in names:
            mine[FIELD] = name
        placed = [{**_placed(entity, part, old), **mine} for part in parts]
        if POSITION in names:
            before = [_number(part[table.key], mine, table, old) for part in placed]
            numbers = positions(before) if association.bond is Bond.MANY else [None for _ in placed]
            placed = [{**part, POSITION: number} for part, number in zip(placed, numbers, strict=True)]
        nested[name] = placed if association.bond is Bond.MANY else next(iter(placed), None)
    return {**row, **nested}


def _number(key: Key, mine: Row, table: Table, old: Flat) -> int | None:
    """Where the part has stood in the list that it is in now, if it was in it. `mine` says which list that is."""
    _, was = old.get((table.name, key), (table, {}))
    return was[POSITION] if was and all(was[name] == value for name, value in mine.items()) else None


def _delete_parts(transaction: Transaction, cls: _Class, keys: Collection[Key]) -> None:
    if not keys:
        return
    for entity in dict.fromkeys(entity_class(association) for _, association in held(cls)):
        table, theirs = table_of(entity), Query(Where(owner_column(cls), Lookup.IN, list(keys)))
        below = [row[table.key] for row in transaction.rows.select(theirs, table)] if any(held(entity)) else []
        transaction.rows.delete_where(theirs, table)
        _delete_parts(transaction, entity, below)
