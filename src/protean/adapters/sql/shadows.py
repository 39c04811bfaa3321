"""Making the empty table that a rebuild fills, with what people have added to the one in use."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import sqlalchemy as sa

from protean.adapters.sql.committing import committing
from protean.adapters.sql.engine import Engine
from protean.adapters.sql.exchanging import indexes, make_index, quoted
from protean.adapters.sql.schema import with_users
from protean.adapters.sql.session import Session
from protean.exceptions import InvalidOperationError, TableMissingError
from protean.ports.rebuilding import unkept
from protean.ports.rows import Table

# What refers to the table itself, not to its name, and would refer to the dropped one, or go with it.
_UNKEPT_POSTGRESQL = """
SELECT DISTINCT CASE c.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || c.relname FROM pg_depend d
JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class
WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = to_regclass(%s) AND c.oid <> d.refobjid
UNION SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND NOT tgisinternal
UNION SELECT 'constraint ' || conname FROM pg_constraint
WHERE contype IN ('c', 'f', 'x') AND to_regclass(%s) IN (conrelid, confrelid)
UNION SELECT 'policy ' || polname FROM pg_policy WHERE polrelid = to_regclass(%s)
UNION SELECT 'publication ' || p.pubname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
WHERE r.prrelid = to_regclass(%s)
"""
_UNKEPT_SQLITE = """
SELECT type || ' ' || name FROM sqlite_master
WHERE type = 'trigger' AND tbl_name = %s
   OR type = 'view' AND instr(lower(sql), lower(%s)) > 0
"""
_COLUMNS_POSTGRESQL = """
SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
"""
_COLUMNS_SQLITE = "SELECT name FROM pragma_table_info(%s)"
_OPTIONS = "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = to_regclass(%s)"
_PRIVILEGES = """
SELECT a.privilege_type, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, a.is_grantable
FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = to_regclass(%s) AND a.grantee <> c.relowner
"""

Definitions = Callable[[], AbstractContextManager[sa.Connection]]


class SqlShadows:
    """`Shadows` in SQL. `definitions` begins a transaction about tables, one at a time among all processes."""

    def __init__(self, engine: Engine, definitions: Definitions) -> None:
        self._engine = engine
        self._definitions = definitions

    def make(self, table: Table, shadow: Table) -> None:
        with committing(self._engine) as session:
            self._refuse_what_is_unkept(session, table)
        self.drop(shadow)
        with self._definitions() as connection:
            with_users([shadow]).tables[shadow.name].create(connection)
        with committing(self._engine) as session:
            self._take_along(session, table, shadow)

    def drop(self, shadow: Table) -> None:
        with committing(self._engine) as session:
            session.send(f"DROP TABLE IF EXISTS {quoted(shadow.name)}")

    def _refuse_what_is_unkept(self, session: Session, table: Table) -> None:
        postgresql, name = session.postgresql, quoted(table.name).replace("%%", "%")
        if postgresql:
            columns = {column for (column,) in session.fetch(_COLUMNS_POSTGRESQL, (name,))}
        else:
            columns = {column for (column,) in session.fetch(_COLUMNS_SQLITE, (table.name,))}
        if not columns:
            raise TableMissingError(
                f"{self._engine.name}: there is no table {table.name}; `protean db setup` creates missing tables"
            )
        if postgresql:
            found = session.fetch(_UNKEPT_POSTGRESQL, (name,) * 5)
        else:
            found = session.fetch(_UNKEPT_SQLITE, (table.name, table.name))
        declared = {column.name for column in table.columns}
        others = [*(f"column {column}" for column in sorted(columns - declared)), *(what for (what,) in found)]
        if others:
            raise InvalidOperationError(unkept(table.name, others))

    def _take_along(self, session: Session, table: Table, shadow: Table) -> None:
        there = {index.shape for index in indexes(session, shadow.name)}
        added = [index for index in indexes(session, table.name) if index.shape not in there]
        for number, index in enumerate(added):
            make_index(session, index, f"{shadow.name[:50]}_{number}", shadow.name)
        if not session.postgresql:
            return
        name = quoted(table.name).replace("%%", "%")
        if options := session.fetch(_OPTIONS, (name,))[0][0]:
            session.send(f"ALTER TABLE {quoted(shadow.name)} SET ({options})")
        for privilege, grantee, grantable in session.fetch(_PRIVILEGES, (name,)):
            passing_on = " WITH GRANT OPTION" if grantable else ""
            session.send(f"GRANT {privilege} ON {quoted(shadow.name)} TO {grantee}{passing_on}")
