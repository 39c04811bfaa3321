"""One table in the place of another, in the transaction of whoever is at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protean.adapters.sql.session import Session

_WAIT_AT_MOST = "SELECT set_config('lock_timeout', %s, true)"
_INDEXES_POSTGRESQL = """
SELECT i.relname, x.indisunique, pg_get_indexdef(i.oid) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = to_regclass(%s) ORDER BY i.relname
"""
# Those that were made by a statement; what a constraint brings along has none.
_INDEXES_SQLITE = """
SELECT name, sql LIKE 'CREATE UNIQUE%%', sql FROM sqlite_master
WHERE type = 'index' AND tbl_name = %s AND sql IS NOT NULL ORDER BY name
"""


@dataclass(frozen=True, slots=True)
class Index:
    """An index; `body` is what its definition says behind the table's name."""

    name: str
    unique: bool
    body: str

    @property
    def shape(self) -> tuple[bool, str]:
        """What it has in common with one of another name, of another table."""
        return self.unique, self.body


def wait_at_most(session: Session, seconds: float) -> None:
    """Raise TransientDatabaseError where a lock is waited for that long, until the transaction ends."""
    if session.postgresql:
        session.fetch(_WAIT_AT_MOST, (f"{seconds * 1000:.0f}ms",))


def exchange(session: Session, table: str, shadow: str, declared: Mapping[str, str], seconds: float) -> None:
    """Drop `table` and give its name to `shadow`, and to the shadow's indexes those of its own.

    `declared` are the names for those of the shadow's indexes that the code declares.
    """
    before, after = indexes(session, table), indexes(session, shadow)
    wait_at_most(session, seconds)
    session.send(f"DROP TABLE {quoted(table)}")
    session.send(f"ALTER TABLE {quoted(shadow)} RENAME TO {quoted(table)}")
    names = {index.shape: index.name for index in reversed(before)}
    for index in after:
        name = names.pop(index.shape, None) or index.name.replace(shadow, table, 1)
        name = declared.get(index.name, name)
        if name != index.name:
            _rename(session, index, name, table)


def indexes(session: Session, table: str) -> list[Index]:
    """The indexes of a table, by name; of SQLite's, those that have a definition."""
    if session.postgresql:
        rows = session.fetch(_INDEXES_POSTGRESQL, (quoted(table).replace("%%", "%"),))
        return [Index(name, unique, sql.partition(" USING ")[2]) for name, unique, sql in rows]
    rows = session.fetch(_INDEXES_SQLITE, (table,))
    return [Index(name, bool(unique), sql[sql.index("(") :]) for name, unique, sql in rows]


def make_index(session: Session, index: Index, name: str, table: str) -> None:
    """Make one of that shape and name for another table."""
    using = "USING " if session.postgresql else ""
    unique = "UNIQUE " if index.unique else ""
    body = index.body.replace("%", "%%")
    session.send(f"CREATE {unique}INDEX {quoted(name)} ON {quoted(table)} {using}{body}")


def quoted(name: str) -> str:
    """The name as it may stand in a statement with `%s` placeholders."""
    doubled = name.replace('"', '""').replace("%", "%%")
    return f'"{doubled}"'


def _rename(session: Session, index: Index, name: str, table: str) -> None:
    if session.postgresql:
        session.send(f"ALTER INDEX {quoted(index.name)} RENAME TO {quoted(name)}")
    else:  # SQLite renames none
        session.send(f"DROP INDEX {quoted(index.name)}")
        make_index(session, index, name, table)
