"""State tables: where aggregates and projections are kept, one row an object."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from protean.ports.query import Query

Key = str | int
Row = Mapping[str, Any]


class ColumnType(StrEnum):
    """Storage types; values cross this port as the Python type named."""

    STRING = "string"  # str, up to `length` characters
    TEXT = "text"  # str
    INTEGER = "integer"  # int, 64 bits
    FLOAT = "float"  # float
    DECIMAL = "decimal"  # decimal.Decimal
    BOOLEAN = "boolean"  # bool
    DATE = "date"  # datetime.date
    DATETIME = "datetime"  # timezone-aware datetime.datetime
    JSON = "json"  # list or dict of JSON shape


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `length` is that of texts, in characters.

    `native` narrows the type to one that PostgreSQL has: `uuid` of texts; `smallint` or `integer`; `numeric` with
    `digits`, of which so many are behind the point. `default` is what a new row without a value has. `counted`: the
    database counts its values, which are asked for with `Rows.next_number`.
    """

    name: str
    type: ColumnType
    length: int | None = None
    required: bool = False
    unique: bool = False
    native: str = ""
    digits: tuple[int, int] | None = None
    default: str | int | float | bool | Decimal | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a table. `unique`: no two rows have the same values in all columns; with a null, any number do."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `version`, where there is one, names the column that optimistic locking compares.

    `part`: its rows are written only together with a row of another table that they belong to, and after that one.
    """

    name: str
    columns: tuple[Column, ...]
    key: str
    version: str | None = None
    indexes: tuple[Index, ...] = ()
    part: bool = False


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row; a row with that key already there is an error."""

    table: Table
    values: Row


@dataclass(frozen=True, slots=True)
class Upsert:
    """A new row; or, where the key is there already, only the columns in `updates` of it."""

    table: Table
    values: Row
    updates: frozenset[str]


@dataclass(frozen=True, slots=True)
class Update:
    """These columns of one row. With `expected_version`, only if the row still has it.

    `was`, where it is known, is the row as it was loaded.
    """

    table: Table
    key: Key
    values: Row
    expected_version: int | None = None
    was: Row | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Delete:
    """One row away. `was`: as of `Update`."""

    table: Table
    key: Key
    expected_version: int | None = None
    was: Row | None = field(default=None, compare=False, repr=False)


Change = Insert | Upsert | Update | Delete


class Rows(Protocol):
    """Reading and writing rows inside one transaction."""

    def get(self, table: Table, key: Key) -> Row | None:
        """The row with that key, not locked; None if there is none."""
        ...

    def get_many(self, table: Table, keys: Collection[Key]) -> list[Row]:
        """The rows that exist of those keys, in no particular order."""
        ...

    def lock(self, table: Table, keys: Sequence[Key], *, wait: bool = True) -> list[Row]:
        """The rows that exist of those keys, as they are now and stay for all others until this transaction ends.

        They are locked in the given order, against those who lock or change them; readers go on. Raises
        TransientDatabaseError when another transaction has one: at once without `wait`, else when waiting was in vain.
        Where a transaction keeps out all others that write, nothing is left to wait for.
        """
        ...

    def select(self, query: Query, table: Table) -> list[Row]:
        """The rows that match, ordered as asked."""
        ...

    def count(self, query: Query, table: Table) -> int:
        """How many rows match, whatever the query's limit and offset."""
        ...

    def write(self, changes: Sequence[Change]) -> None:
        """Carry out the changes in the given order, in as few statements as they allow.

        Raises ExpectedVersionError when a row is gone or has another version, TakenError naming the
        columns when the key or what is unique is taken.
        """
        ...

    def next_number(self, table: Table) -> int:
        """A number for the counted key of a new row, larger than any there, that nobody else is given.

        It is not given out again, whether a row comes of it or not; on SQLite, unless this transaction is undone.
        """
        ...

    def update_where(self, query: Query, table: Table, values: Row) -> int:
        """Set columns of all rows that match; the number of rows."""
        ...

    def delete_where(self, query: Query, table: Table) -> int:
        """Delete all rows that match; the number of rows."""
        ...
