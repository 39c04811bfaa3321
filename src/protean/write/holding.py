"""Which rows of projections a unit of work holds, so that nobody changes them between its reading and its writing.

Aggregates have versions, which every save compares. A projection's row has none: several projectors, and one projector
from several streams, add to it, and each must see what the others have added. Handlers lock a row when they ask for it;
what was read otherwise (by a query, before the unit of work) is locked and compared when it is saved.

Whoever waits for a row holds none that comes behind it. So nobody waits in a circle, which a database would find out
only after a second; a row that comes before one held is asked for without waiting. If another transaction has it, the
work is undone and repeated, and then begins by locking, in order, all that it came to ask for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any

from protean.elements.element import StatefulElement
from protean.exceptions import ExpectedVersionError, TakenError
from protean.ports.database import Transaction
from protean.ports.rows import Change, Column, Delete, Insert, Key, Row, Table, Update, Upsert
from protean.write.tables import table_of

#: A row: of which class, and its key.
Asked = tuple[type[StatefulElement], Key]
#: Its place in the order of locks, which is that of writing: `storing.in_write_order`.
_Place = tuple[str, str]


class Holding:
    """The rows of one unit of work. `eager`: what is asked for by identity is locked at once.

    `foreseen` is what the same work asked for before it lost a race; it is locked before anything else.
    """

    def __init__(self, *, eager: bool = False, foreseen: Collection[Asked] = ()) -> None:
        self.eager = eager
        self.asked: set[Asked] = set()
        self.foreseen = foreseen
        self._held: set[tuple[str, Key]] = set()
        self._absent: set[tuple[str, Key]] = set()
        self._last: _Place = ("", "")

    def foresees(self) -> bool:
        """Whether something is still to be locked before anything else is read."""
        return bool(self.foreseen)

    def lock(self, transaction: Transaction, wanted: Collection[Asked]) -> dict[Asked, Row | None]:
        """These rows, and what is foreseen, locked; None where there is none. Raises TransientDatabaseError."""
        in_order = sorted({*wanted, *self.foreseen}, key=_place_of)
        self.foreseen = ()
        self.asked.update(in_order)
        found: dict[Asked, Row | None] = {}
        for cls, group in groupby(in_order, key=lambda asked: asked[0]):
            table, keys = table_of(cls), [key for _, key in group]
            rows = {row[table.key]: row for row in self._locked(transaction, table, keys)}
            found |= {(cls, key): rows.get(key) for key in keys}
        return found

    def miss(self, cls: type[StatefulElement], key: Key) -> None:
        """Remember that there is no such row, and that what is done next may be done for that reason."""
        self._absent.add((table_of(cls).name, key))
        self.asked.add((cls, key))

    def misses(self, cls: type[StatefulElement], key: Key) -> bool:
        """Whether it was said here that there is no such row."""
        return (table_of(cls).name, key) in self._absent

    def release(self, table: Table, key: Key) -> None:
        """What is saved of this row was not read here: it is compared, held or not."""
        self._held.discard((table.name, key))

    def checked(self, transaction: Transaction, changes: Sequence[Change], tracked: Collection[Asked]) -> list[Change]:
        """The changes, of rows that are as they were read; new rows that were looked for must still be new.

        `tracked` are the objects that they are of. Raises ExpectedVersionError when somebody else was faster.
        """
        unsure = [each for each in changes if isinstance(each, Update | Delete) and self._is_unsure(each)]
        if unsure:
            compared = {(each.table.name, each.key) for each in unsure}
            self.asked |= {(cls, key) for cls, key in tracked if (table_of(cls).name, key) in compared}
            self._compare(transaction, unsure)
        return [
            Insert(each.table, each.values)
            if isinstance(each, Upsert) and (each.table.name, each.values[each.table.key]) in self._absent
            else each
            for each in changes
        ]

    def lost(self, error: TakenError) -> ExpectedVersionError | None:
        """What it means that a key is taken: somebody else has made the row that was not there; None if he has not."""
        keys = [key for name, key in self._absent if name == error.table]
        if not keys or len(error.columns) != 1 or error.columns[0] not in self._keys_of(error.table):
            return None
        return ExpectedVersionError(f"a row of {error.table} that was looked for in vain was made by somebody else")

    def written(self, changes: Sequence[Change]) -> None:
        """Remember that these are held now, and that what was new is there."""
        for each in changes:
            if _lacks_version(each.table):
                key: Key = each.values[each.table.key] if isinstance(each, Insert | Upsert) else each.key
                self._held.add((each.table.name, key))
                self._absent.discard((each.table.name, key))
                self._last = max(self._last, (each.table.name, str(key)))

    def _keys_of(self, table: str) -> set[str]:
        return {table_of(cls).key for cls, _ in self.asked if table_of(cls).name == table}

    def _locked(self, transaction: Transaction, table: Table, keys: Sequence[Key]) -> list[Row]:
        rows = transaction.rows.lock(table, keys, wait=(table.name, str(keys[0])) > self._last)
        for row in rows:
            self._held.add((table.name, row[table.key]))
            self._last = max(self._last, (table.name, str(row[table.key])))
        return rows

    def _is_unsure(self, change: Update | Delete) -> bool:
        """Whether the row may have changed since it was read."""
        held = (change.table.name, change.key) in self._held
        return change.was is not None and _lacks_version(change.table) and not held

    def _compare(self, transaction: Transaction, unsure: Sequence[Update | Delete]) -> None:
        by_table = sorted(unsure, key=lambda each: (each.table.name, str(each.key)))
        for _, group in groupby(by_table, key=lambda each: each.table.name):
            these = list(group)
            table = these[0].table
            now = {row[table.key]: row for row in self._locked(transaction, table, [each.key for each in these])}
            for each in these:
                row = now.get(each.key)
                if row is None and isinstance(each, Delete):
                    continue  # gone is gone
                if row is None or not _same(each, row):
                    what = "is gone" if row is None else "was changed by somebody else"
                    raise ExpectedVersionError(f"{table.name} {each.key!r} {what} since it was read")


def _lacks_version(table: Table) -> bool:
    return table.version is None and not table.part


def _place_of(asked: Asked) -> _Place:
    cls, key = asked
    return table_of(cls).name, str(key)


def _same(change: Update | Delete, row: Row) -> bool:
    """Whether what is about to be overwritten is as it was; writers of different columns do not disturb each other."""
    was = change.was or {}
    written = change.values if isinstance(change, Update) else was
    columns = [column for column in change.table.columns if column.name in written and column.name in was]
    return all(_alike(column, was[column.name], row[column.name]) for column in columns)


def _alike(column: Column, was: Any, now: Any) -> bool:
    """Whether the column still has that value, which may have been written rather than read: a database rounds."""
    if was == now or was is None or now is None:
        return bool(was == now)
    if column.native == "uuid":
        return bool(was.lower() == now)
    if column.digits is not None:
        return bool(abs(was - now) < 10 ** -column.digits[1])
    return bool(was != was and now != now)  # noqa: PLR0124  # no number is not even itself
