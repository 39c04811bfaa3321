"""Tables that are not there, and what tables of an earlier day lack or refuse; with the SQL that adds it."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import ReflectedColumn

from protean.ports.database import Differing, Lacking, Missing


def missing(connection: sa.Connection, wanted: sa.MetaData) -> list[Missing]:
    """Each table that does not exist, and what would make it."""
    present = set(sa.inspect(connection).get_table_names())
    found = []
    for table in wanted.sorted_tables:
        if table.name not in present:
            made: list[sa.schema.ExecutableDDLElement] = [sa.schema.CreateTable(table)]
            made += [sa.schema.CreateIndex(index) for index in _unindexed(table, set())]
            lines = (" ".join(str(each.compile(dialect=connection.dialect)).split()) for each in made)
            found.append(Missing(table.name, tuple(f"{line};" for line in lines)))
    return found


def differing(connection: sa.Connection, wanted: sa.MetaData) -> list[Differing]:
    """Each column that refuses rows of today: too short, or required where null is written."""
    columns = sa.inspect(connection).get_multi_columns()
    found = []
    for (_, name), present in sorted(columns.items(), key=lambda each: each[0][1]):
        if name not in wanted.tables:
            continue
        declared = wanted.tables[name].columns
        for column in present:
            how = _refuses(column, declared.get(column["name"]))
            if how:
                found.append(Differing(name, column["name"], how))
    return found


def _refuses(present: ReflectedColumn, declared: sa.Column[object] | None) -> str:
    required = not present["nullable"] and present.get("default") is None and not present.get("identity")
    if declared is None:
        return "is required, and nothing declares it: new rows are refused" if required else ""
    if required and declared.nullable:
        return "is required, and may be null as declared"
    length, wanted = getattr(present["type"], "length", None), getattr(declared.type, "length", None)
    if length is not None and isinstance(declared.type, sa.String) and (wanted is None or wanted > length):
        return f"takes {length} characters, and {'any number' if wanted is None else wanted} as declared"
    return ""


def lacking(connection: sa.Connection, wanted: sa.MetaData) -> list[Lacking]:
    """Each table that exists and lacks something of `wanted`. The columns of `wanted` are not to be used afterwards."""
    inspector = sa.inspect(connection)
    # Without the schema, which for both databases is the one that unqualified names mean here.
    present = {
        table: {column["name"] for column in columns} for (_, table), columns in inspector.get_multi_columns().items()
    }
    indexed = {
        table: {index["name"] for index in indexes} for (_, table), indexes in inspector.get_multi_indexes().items()
    }
    found = []
    for table in wanted.sorted_tables:
        missing = [column for column in table.columns if column.name not in present.get(table.name, table.columns)]
        unindexed = _unindexed(table, indexed.get(table.name, set())) if table.name in present else []
        if missing or unindexed:
            statements = [line for column in missing for line in _statements(table, column, connection.dialect)]
            statements += [_index_statement(index, connection.dialect) for index in unindexed]
            columns, indexes = (column.name for column in missing), (str(index.name) for index in unindexed)
            found.append(Lacking(table.name, tuple(columns), tuple(statements), tuple(indexes)))
    return found


def _unindexed(table: sa.Table, present: set[str | None]) -> list[sa.Index]:
    return sorted((index for index in table.indexes if index.name not in present), key=lambda index: str(index.name))


def _index_statement(index: sa.Index, dialect: sa.Dialect) -> str:
    """On PostgreSQL without keeping anybody from writing meanwhile; it takes no transaction around it."""
    made = sa.schema.CreateIndex(index)
    if dialect.name == "postgresql":
        index.dialect_options["postgresql"]["concurrently"] = True
    return f"{' '.join(str(made.compile(dialect=dialect)).split())};"


def _statements(table: sa.Table, column: sa.Column[object], dialect: sa.Dialect) -> Iterator[str]:
    quote = dialect.identifier_preparer.quote
    name, of = quote(column.name), quote(table.name)
    if column.primary_key:
        yield f"-- {column.name} is the key of {table.name}: make the table anew and copy the rows"
        return
    required = not column.nullable and column.server_default is None
    column.nullable = column.nullable or required  # the rows that are there have no value yet
    definition = sa.schema.CreateColumn(column).compile(dialect=dialect)
    yield f"ALTER TABLE {of} ADD COLUMN {definition};"
    if column.unique:
        yield f"CREATE UNIQUE INDEX {quote(f'{table.name}_{column.name}_key'[:63])} ON {of} ({name});"
    if required:
        yield f"-- {column.name} is required, and {table.name} may have rows: give every one of them a value"
        if dialect.name == "postgresql":
            yield f"-- and then: ALTER TABLE {of} ALTER COLUMN {name} SET NOT NULL;"
