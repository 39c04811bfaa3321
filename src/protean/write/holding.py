"""Which rows of projections a unit of work holds, so that nobody changes them between its reading and its writing.

Aggregates have versions, which every save compares. A projection's row has none: several projectors, and one projector
from several streams, add to it, and each must see what the others have added. A projector locks a row of its projection
when it asks for it; what was read otherwise (by a query, by another handler, before the unit of work) is locked and
compared when it is saved.

A handler that waits for a row holds none that comes behind it. So handlers do not wait for each other in a circle,
which a database would find out only after a second: a row that comes before one held is asked for without waiting. If
another transaction has it, the work is undone and repeated, and then begins by locking, in order, all that it came to
ask for.
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
#: A row where classes do not matter: its table's name, and its key.
_Row = tuple[str, Key]


class Holding:
    """The rows of one unit of work. `eager` is the projection whose rows are locked when they are asked for.

    `repeated`: the work is done again after a TransientDatabaseError, and may prefer one to waiting.
    `foreseen` is what it had asked for before it lost a race; that is to be locked before anything else is read.
    """

    def __init__(
        self,
        *,
        eager: type[StatefulElement] | None = None,
        repeated: bool = False,
        foreseen: Collection[Asked] = (),
    ) -> None:
        self.asked: set[Asked] = set()
        self.foreseen = foreseen
        self._eager = eager
        self._repeated = repeated
        self._held: set[_Row] = set()
        self._absent: set[_Row] = set()
        self._last: _Place = ("", "")

    def end(self) -> None:
        """The transaction is over, and with it every lock. What was asked for stays known."""
        self._held, self._absent, self._last = set(), set(), ("", "")

    def locks(self, cls: type[StatefulElement]) -> bool:
        """Whether rows of that class are locked when they are asked for."""
        return cls is self._eager

    def lock(self, transaction: Transaction, wanted: Collection[Asked]) -> dict[Asked, Row | None]:
        """These rows, locked in order; None where there is none. Raises TransientDatabaseError."""
        self.asked.update(wanted)
        found: dict[Asked, Row | None] = {}
        for cls, group in groupby(sorted(wanted, key=_place_of), key=lambda asked: asked[0]):
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
        """What is saved of this row was read before it was held, or elsewhere: it is compared."""
        self._held.discard((table.name, key))

    def checked(self, transaction: Transaction, changes: Sequence[Change], tracked: Collection[Asked]) -> list[Change]:
        """The changes, of rows that are as they were read; new rows that were looked for must still be new.

        `tracked` are the objects that they are of. Raises ExpectedVersionError when somebody else was faster.
        """
        unsure = [each for each in changes if isinstance(each, Update | Delete) and self._is_unsure(each)]
        if unsure:
            compared = {_row_of(each) for each in unsure}
            self.asked |= {(cls, key) for cls, key in tracked if (table_of(cls).name, key) in compared}
            self._compare(transaction, unsure)
        return [
            Insert(each.table, each.values) if isinstance(each, Upsert) and _row_of(each) in self._absent else each
            for each in changes
        ]

    def lost(self, error: TakenError, changes: Sequence[Change]) -> ExpectedVersionError | None:
        """What it means that a key is taken: somebody else has made a row that was not there; None if it means less."""
        for each in changes:
            taken = error.table == each.table.name and error.columns == (each.table.key,)
            if taken and isinstance(each, Insert) and _row_of(each) in self._absent:
                return ExpectedVersionError(f"a row of {error.table} that was looked for in vain was made meanwhile")
        return None

    def written(self, changes: Sequence[Change]) -> None:
        """Remember that these are held now, and that what was new is there."""
        for each in changes:
            if _lacks_version(each.table):
                row = _row_of(each)
                self._absent.discard(row)
                self._hold(row)

    def _locked(self, transaction: Transaction, table: Table, keys: Sequence[Key]) -> list[Row]:
        in_order = (table.name, str(keys[0])) > self._last
        rows = transaction.rows.lock(table, keys, wait=in_order or not self._repeated)
        for row in rows:
            self._hold((table.name, row[table.key]))
        return rows

    def _hold(self, row: _Row) -> None:
        self._held.add(row)
        self._last = max(self._last, (row[0], str(row[1])))

    def _is_unsure(self, change: Update | Delete) -> bool:
        """Whether the row may have changed since it was read."""
        return change.was is not None and _lacks_version(change.table) and _row_of(change) not in self._held

    def _compare(self, transaction: Transaction, unsure: Sequence[Update | Delete]) -> None:
        in_order = sorted(unsure, key=lambda each: (each.table.name, str(each.key)))
        for name, group in groupby(in_order, key=lambda each: each.table.name):
            these = list(group)
            table = these[0].table
            now = {row[table.key]: row for row in self._locked(transaction, table, [each.key for each in these])}
            for each in these:
                row = now.get(each.key)
                if row is None and isinstance(each, Delete):
                    continue  # gone is gone
                if row is None or not self._alike(each, row):
                    what = "is gone" if row is None else "was changed by somebody else"
                    raise ExpectedVersionError(f"{name} {each.key!r} {what} since it was read")

    def _alike(self, change: Update | Delete, now: Row) -> bool:
        """Whether the row is as it was read, or written: one that was written lacks what the database adds of its own.

        What is repeated may have reckoned with all of it. Elsewhere who write other columns do not disturb each other.
        """
        was = change.was or {}
        matter = change.values if isinstance(change, Update) and not self._repeated else was
        columns = (column for column in change.table.columns if column.name in matter and column.name in was)
        return all(_same(column, was[column.name], now[column.name]) for column in columns)


def _lacks_version(table: Table) -> bool:
    return table.version is None and not table.part


def _place_of(asked: Asked) -> _Place:
    cls, key = asked
    return table_of(cls).name, str(key)


def _row_of(change: Change) -> _Row:
    key: Key = change.values[change.table.key] if isinstance(change, Insert | Upsert) else change.key
    return change.table.name, key


def _same(column: Column, was: Any, now: Any) -> bool:
    """Whether the column still has that value, which may have been written rather than read: a database rounds."""
    if was == now or was is None or now is None:
        return bool(was == now)
    if column.native == "uuid":
        return bool(was.lower() == now)
    if column.digits is not None:
        return bool(abs(was - now) < 10 ** -column.digits[1])
    return bool(was != was and now != now)  # noqa: PLR0124  # no number is not even itself
