"""How one kind of object is kept: what loading it reads, and what saving it writes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol, TypeVar

from protean.elements.aggregate import AggregateElement, version_of
from protean.elements.associations import held
from protean.elements.element import StatefulElement, identity_of
from protean.elements.event import EventElement
from protean.elements.guarding import check_saved
from protean.elements.state import explicitly_set, loaded_row, refill, restore, set_loaded_row, state_of
from protean.exceptions import InvalidOperationError, TakenError, TransientDatabaseError, taken
from protean.ports.database import Transaction
from protean.ports.rows import Change, Delete, Insert, Key, Row, Table, Update, Upsert
from protean.suggestion import did_you_mean
from protean.write.parts import part_changes, with_parts
from protean.write.tables import VERSION, columns_of, table_of, with_entities

S = TypeVar("S", bound=StatefulElement)

#: How often objects that are changed while they are read with their parts are read again.
_READINGS = 20


@dataclass(slots=True)
class Tracked:
    """One object of a unit of work. `loaded` is its row as the database has it; None: it has none yet.

    `blind`: it was added as new without a look, and its row may hold more than it says.
    `events` are those of an event-sourced one that are not written yet; `told` is its state in the last fact.
    """

    element: StatefulElement
    table: Table
    key: Key
    loaded: Row | None
    version: int
    removed: bool = False
    raised: bool = False
    blind: bool = False
    events: list[EventElement] = field(default_factory=list)
    told: Row | None = None


class Storage(Protocol):
    """Where the objects of one class are kept."""

    def load(self, transaction: Transaction, keys: Collection[Key]) -> dict[Key, StatefulElement]:
        """Those that exist of the objects with these identities."""
        ...

    def complete(self, transaction: Transaction, rows: list[Row]) -> list[Row]:
        """The rows that a query of the class's own table has found, with what other tables hold of their objects."""
        ...

    def changes(self, tracked: Tracked) -> list[Change]:
        """What must be written of the object; afterwards it counts as written."""
        ...


class RowStorage:
    """One row an object, in one table; and those of its entities in theirs."""

    def __init__(self, cls: type[StatefulElement]) -> None:
        self._cls = cls
        self._table = table_of(cls)
        self._has_parts = any(held(cls))

    def load(self, transaction: Transaction, keys: Collection[Key]) -> dict[Key, StatefulElement]:
        """See `Storage`."""
        rows = self.complete(transaction, self._rows(transaction, keys))
        return {row[self._table.key]: restored(self._cls, row) for row in rows}

    def complete(self, transaction: Transaction, rows: list[Row]) -> list[Row]:
        """See `Storage`. An object that somebody saves meanwhile comes as it is then, one that is removed not at all.

        Each statement sees what is committed when it begins, so the parts may be younger than their object's row.
        They belong together if that row is the same before and after: every save of parts gives it another version.
        """
        if not self._has_parts:
            return rows
        key, whole, pending = self._table.key, dict[Key, Row](), rows
        for _ in range(_READINGS):
            if not pending:
                return [whole[row[key]] for row in rows if row[key] in whole]
            completed = with_parts(transaction, self._cls, pending)
            now = {row[key]: row for row in self._rows(transaction, [row[key] for row in pending])}
            still = [row for row in completed if row[key] in now]
            whole |= {row[key]: row for row in still if now[row[key]][VERSION] == row[VERSION]}
            pending = [now[row[key]] for row in still if row[key] not in whole]
        raise TransientDatabaseError(
            f"{pending[0][key]!r} of {self._table.name} was changed {_READINGS} times while it was read with its parts"
        )

    def changes(self, tracked: Tracked) -> list[Change]:
        """See `Storage`."""
        element, table = tracked.element, tracked.table
        versioned = table.version is not None
        expected = tracked.version if versioned else None
        if tracked.removed:
            if tracked.loaded is None:
                return []  # added and removed in one go, or written as removed before
            was = tracked.loaded
            parts, tracked.loaded = part_changes(self._cls, was, None)
            return [Delete(table, tracked.key, expected, was), *parts]
        row, whole, parts = self._state(tracked)
        if filled := self._filled(element):
            row, whole = {**row, **filled}, {**whole, **filled}
        if tracked.loaded is None:
            check_saved(element)
            tracked.loaded, tracked.raised = whole, False
            if not versioned:
                return [Upsert(table, row, _given_columns(element, row) | frozenset(filled))]
            tracked.version += 1
            return [Insert(table, {**row, VERSION: tracked.version}), *parts]
        loaded = tracked.loaded
        changed = {name: value for name, value in row.items() if loaded.get(name) != value}
        if not changed and not tracked.raised and not parts:
            return []
        check_saved(element)
        tracked.loaded, tracked.raised = whole, False
        if versioned:
            tracked.version += 1
            changed[VERSION] = tracked.version
        return [Update(table, tracked.key, changed, expected, loaded), *parts]

    def _state(self, tracked: Tracked) -> tuple[Row, Row, list[Change]]:
        """The object's own row, the same with its parts, and what must be written of those."""
        row = state_of(tracked.element)
        if not self._has_parts:
            return row, row, []
        parts, placed = part_changes(self._cls, tracked.loaded, row)
        own = {name: value for name, value in row.items() if name not in self._cls.__protean__.associations}
        return own, placed or row, parts

    def _filled(self, element: StatefulElement) -> Row:
        """The columns that a database model fills."""
        stored = self._cls.__protean__.stored
        if stored.fill is None:
            return {}
        values = stored.fill(element)
        for name in values:
            if name not in stored.extras:
                raise InvalidOperationError(
                    f"`fill` of the database model of {self._cls.__name__} returns {name!r:.50}, which is no extra "
                    f"column of it{did_you_mean(name, stored.extras)}"
                )
        return {stored.extras[name].column or name: value for name, value in values.items()}

    def _rows(self, transaction: Transaction, keys: Collection[Key]) -> list[Row]:
        if len(keys) != 1:
            return transaction.rows.get_many(self._table, keys)
        row = transaction.rows.get(self._table, next(iter(keys)))
        return [] if row is None else [row]


@cache
def row_storage_of(cls: type[StatefulElement]) -> Storage:
    """How the objects of a class that has a table are kept."""
    return RowStorage(cls)


def tracked(element: StatefulElement) -> Tracked:
    """The object as a unit of work begins to follow it."""
    version = version_of(element) if isinstance(element, AggregateElement) else -1
    return Tracked(element, table_of(type(element)), identity_of(element), loaded_row(element), version)


def in_write_order(objects: Collection[Tracked]) -> Sequence[Tracked]:
    """Sorted by identity, so that two units of work that touch the same rows take their locks in the same order."""
    return sorted(objects, key=lambda each: (each.table.name, str(each.key)))


def by_field(error: TakenError, classes: Collection[type[StatefulElement]]) -> TakenError:
    """The error in the words of the class whose table it is about: fields in place of columns."""
    for root in classes:
        for cls in with_entities(root):
            if table_of(cls).name != error.table:
                continue
            fields = {column.name: name for name, column in columns_of(cls).items()}
            messages = taken([fields.get(column, column) for column in error.columns])
            if cls is not root:
                field = next((name for owner, name in cls.__protean__.holders if owner is root), cls.__name__)
                messages = {field: [f"{name} {text}" for name, texts in messages.items() for text in texts]}
            return TakenError(error.table, error.columns, messages)
    return error


def restored(cls: type[S], row: Row) -> S:
    """The object a row describes, with its version if it has one."""
    return restore(cls, row, row.get(VERSION, -1))


def given_values(element: StatefulElement) -> Row:
    """The columns that were set on purpose, with their values."""
    row = state_of(element)
    given = _given_columns(element, row)
    return {column: value for column, value in row.items() if column in given}


def show(known: Tracked, row: Row, given: Row | None = None) -> None:
    """Give an object that was added blindly the values of its row, and then those that it was given."""
    refill(known.element, {**row, **(given or {})})
    set_loaded_row(known.element, row)
    known.loaded, known.blind = row, False


def _given_columns(element: StatefulElement, row: Row) -> frozenset[str]:
    """The columns that were set on purpose. A list or dict that has something in it was, perhaps in place."""
    given = explicitly_set(element)
    names = element.__protean__.columns.of(given)
    return frozenset(names | {column for column, value in row.items() if value and isinstance(value, list | dict)})
