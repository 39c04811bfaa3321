"""Users' `Table`s beside the framework's, as SQLAlchemy tables: what `setup` creates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from protean.adapters.sql.columns import BIG, JSON, MOMENT, UUID
from protean.adapters.sql.tables import framework
from protean.exceptions import ConfigurationError
from protean.ports.rows import Column, ColumnType, Table

#: Bytes of an identifier that PostgreSQL keeps; longer ones would collide after being cut.
_IDENTIFIER_BYTES = 63


def with_users(tables: Sequence[Table]) -> sa.MetaData:
    """The framework's tables and these. Raises ConfigurationError for a name that cannot be used."""
    everything = sa.MetaData()
    for own in framework.sorted_tables:
        own.to_metadata(everything)
    for table in tables:
        indexes = (index.name for index in table.indexes)
        for name in (table.name, *(column.name for column in table.columns), *indexes):
            if not 0 < len(name.encode()) <= _IDENTIFIER_BYTES:
                raise ConfigurationError(f"table {table.name!r}: the name {name!r} is not 1 to 63 bytes long")
        if table.name in everything.tables:
            raise ConfigurationError(f"there is a table {table.name!r} already; give this one another name")
        made = sa.Table(table.name, everything, *(_column(table, column) for column in table.columns))
        for index in table.indexes:
            sa.Index(index.name, *(made.c[name] for name in index.columns), unique=index.unique)
    return everything


def _column(table: Table, column: Column) -> sa.Column[Any]:
    key = column.name == table.key
    default = column.default
    return sa.Column(
        column.name,
        _type(column),
        # What counts for the domain; the domain gives every row its key all the same.
        *([sa.Identity(always=False)] if column.counted else []),
        primary_key=key,
        # Keys are given by the domain, never by the database.
        autoincrement="auto" if column.counted else False,
        nullable=not (key or column.required),
        unique=column.unique and not key,
        # As text, which every type takes: an expression would have SQLite copy the whole table for a new column.
        server_default=None if default is None else str(int(default) if isinstance(default, bool) else default),
    )


def _type(column: Column) -> sa.types.TypeEngine[Any]:
    if column.native == "uuid":
        return UUID
    if column.digits is not None:
        return sa.Text().with_variant(sa.Numeric(*column.digits), "postgresql")
    if column.native:
        narrow = sa.SmallInteger() if column.native == "smallint" else sa.Integer()
        return sa.Integer().with_variant(narrow, "postgresql")
    if column.type in (ColumnType.STRING, ColumnType.TEXT):
        # Ordered by code point like Python: an index then serves prefixes, survives upgrades of the system's
        # language data, and pages by key come in the same order from every database.
        plain = sa.Text() if column.length is None else sa.String(column.length)
        ordered = sa.Text(collation="C") if column.length is None else sa.String(column.length, collation="C")
        return plain.with_variant(ordered, "postgresql")
    return _TYPES[column.type]


_TYPES: dict[ColumnType, sa.types.TypeEngine[Any]] = {
    ColumnType.INTEGER: BIG,
    ColumnType.FLOAT: sa.Double(),
    ColumnType.DECIMAL: sa.Text().with_variant(sa.Numeric(), "postgresql"),
    ColumnType.BOOLEAN: sa.Boolean(),
    ColumnType.DATE: sa.Text().with_variant(sa.Date(), "postgresql"),
    ColumnType.DATETIME: MOMENT,
    ColumnType.JSON: JSON,
}
