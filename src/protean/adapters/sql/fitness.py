"""What keeps this user from using a database: read from its catalogue, in one statement each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from protean.adapters.sql.engine import Engine

#: What handlers, relays and housekeeping do to every table.
_NEEDED = ["SELECT", "INSERT", "UPDATE", "DELETE"]
_FORBIDDEN = """
SELECT needed || ' on ' || relname FROM pg_class CROSS JOIN unnest(%s::text[]) AS needed
WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(%s::text[]) AND relkind IN ('r', 'p')
  AND NOT has_table_privilege(pg_class.oid, needed)
ORDER BY relname, needed
"""
_MAY_CREATE = "SELECT current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'CREATE')"
_READ_ONLY = "SELECT current_setting('transaction_read_only') = 'on' OR pg_is_in_recovery()"


def version(engine: Engine) -> str:
    """The kind of database and its release."""
    if engine.postgresql:
        return f"PostgreSQL {engine.once('SHOW server_version')[0][0].partition(' ')[0]}"
    return f"SQLite {engine.once('SELECT sqlite_version()')[0][0]}"


def forbidden(engine: Engine, tables: Sequence[str]) -> list[str]:
    """What is needed and not allowed; of a database that takes no writes, just that."""
    if engine.postgresql:
        if engine.once(_READ_ONLY)[0][0]:
            return ["any write: it is a standby, or set read-only"]
        return [text for (text,) in engine.once(_FORBIDDEN, [_NEEDED, list(tables)])]
    file = _file(engine)
    # The journal is made beside the file.
    closed = [place for place in (file, file.parent) if not os.access(place, os.W_OK)] if file else []
    return [f"writing to {place}" for place in closed]


def may_create(engine: Engine) -> bool:
    """Whether tables may be made: on SQLite, by whoever may write."""
    return bool(engine.once(_MAY_CREATE)[0][0]) if engine.postgresql else not forbidden(engine, ())


def _file(engine: Engine) -> Path | None:
    name = engine.sa.url.database
    return None if name in (None, "", ":memory:") else Path(str(name)).absolute()
