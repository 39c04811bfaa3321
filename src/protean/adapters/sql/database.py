"""One PostgreSQL or SQLite database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from protean.adapters.sql import fitness
from protean.adapters.sql.engine import DEFAULT_TIMEOUTS, Engine, Timeouts
from protean.adapters.sql.errors import translate
from protean.adapters.sql.lacking import differing, lacking, missing
from protean.adapters.sql.outbox import SqlOutbox
from protean.adapters.sql.publications import SqlPublications
from protean.adapters.sql.recovery import SqlRecovery
from protean.adapters.sql.schema import with_users
from protean.adapters.sql.shadows import SqlShadows
from protean.adapters.sql.shape import Shape
from protean.adapters.sql.tables import VERSION_TABLE
from protean.adapters.sql.transaction import SqlTransaction
from protean.exceptions import ConfigurationError, NotSupportedError
from protean.ports.database import Differing, Lacking, Missing
from protean.ports.revisions import Revisions
from protean.ports.rows import Table

#: The advisory lock of setting up, one per database. Any number does that nobody else uses.
_SETUP_LOCK = 0x70726F7465616E

# A superuser's sessions are left alone unless we are that user, and so is everybody's in other databases:
# nobody's application name was promised to us there.
_TERMINATE = """
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = %s AND pid <> pg_backend_pid()
  AND usename = current_user AND datname = current_database()
"""
_CAPACITY = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""


_CLOCK = "SELECT extract(epoch FROM clock_timestamp())"


class SqlDatabase:
    """`Database`, `Definitions`, `Revisable`, `Fitness`, on PostgreSQL `Sessions` too, over one bounded pool.

    `uri` begins with postgresql:// or sqlite://. `application_name` is what `terminate` finds the sessions
    by. `schema`, PostgreSQL only, is where all tables are looked for and made. Raises ConfigurationError.
    """

    def __init__(
        self,
        uri: str,
        *,
        pool_size: int = 5,
        application_name: str = "protean",
        schema: str | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        self._engine = Engine(
            uri, pool_size=pool_size, application_name=application_name, schema=schema, timeouts=timeouts
        )
        self._shapes: dict[int, Shape] = {}
        self.outbox = SqlOutbox(self._engine)
        self.recovery = SqlRecovery(self._engine, self.outbox.local_locks)
        self.publications = SqlPublications(self._engine, self.outbox.local_locks)
        self.shadows = SqlShadows(self._engine, self._definitions)

    def transaction(self) -> SqlTransaction:
        return SqlTransaction(self._engine, self._shape_of)

    def setup(self, tables: Sequence[Table]) -> list[str]:
        wanted = with_users(tables)
        with self._definitions() as connection:
            missing = [table for table in wanted.sorted_tables if table.name not in _existing(connection)]
            wanted.create_all(connection, tables=missing, checkfirst=False)
        return [table.name for table in missing]

    def missing(self, tables: Sequence[Table]) -> list[Missing]:
        """See `Definitions`."""
        with self._definitions(changing=False) as connection:
            return missing(connection, with_users(tables))

    def lacking(self, tables: Sequence[Table]) -> list[Lacking]:
        """See `Definitions`."""
        with self._definitions(changing=False) as connection:
            return lacking(connection, with_users(tables))

    def version(self) -> str:
        """See `Fitness`, as of the next three."""
        return fitness.version(self._engine)

    def absent(self, tables: Sequence[Table]) -> list[str]:
        with self._definitions(changing=False) as connection:
            present = _existing(connection)
        return [table.name for table in with_users(tables).sorted_tables if table.name not in present]

    def forbidden(self, tables: Sequence[Table]) -> list[str]:
        return fitness.forbidden(self._engine, [table.name for table in with_users(tables).sorted_tables])

    def may_create(self) -> bool:
        return fitness.may_create(self._engine)

    def differing(self, tables: Sequence[Table]) -> list[Differing]:
        """See `Definitions`."""
        with self._definitions(changing=False) as connection:
            return differing(connection, with_users(tables))

    def revisions(self, folder: Path) -> Revisions:
        """See `Revisable`."""
        try:
            from protean.adapters.sql.revisions import SqlRevisions  # noqa: PLC0415  # alembic is an extra
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"{error.name} is not installed; pip install 'protean[revisions]'") from error
        return SqlRevisions(self._engine, self._definitions, folder)

    def truncate(self, tables: Sequence[Table]) -> None:
        wanted = with_users(tables)
        with self._definitions() as connection:
            present = [table for table in wanted.sorted_tables if table.name in _existing(connection)]
            if self._engine.postgresql and present:
                names = ", ".join(self._engine.quoted(table.name) for table in present)
                connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")
            elif present:
                for table in present:
                    connection.execute(table.delete())

    def drop(self, tables: Sequence[Table]) -> None:
        with self._definitions() as connection:
            with_users(tables).drop_all(connection)
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {VERSION_TABLE}")

    def ping(self) -> None:
        self._engine.once("SELECT 1")

    def close(self) -> None:
        self._engine.close()

    def terminate(self, consumer: str) -> int:
        """See `Sessions`. Raises NotSupportedError on SQLite."""
        return int(self._sessions(_TERMINATE, consumer)[0])

    def capacity(self) -> tuple[int, int]:
        """See `Sessions`. Raises NotSupportedError on SQLite."""
        used, most = self._sessions(_CAPACITY)
        return used, most

    def clock(self) -> datetime:
        """See `Sessions`. Raises NotSupportedError on SQLite."""
        return datetime.fromtimestamp(float(self._sessions(_CLOCK)[0]), UTC)

    def _shape_of(self, table: Table) -> Shape:
        # By identity: hashing a table means hashing its columns, 10 microseconds each time. A shape keeps its
        # table alive, so that no other one gets the same identity.
        shape = self._shapes.get(id(table))
        if shape is None:
            shape = self._shapes[id(table)] = Shape(table, self._engine)
        return shape

    def _sessions(self, sql: str, *values: str) -> tuple[int, ...]:
        if not self._engine.postgresql:
            raise NotSupportedError(f"{self._engine.name} has no sessions that could be seen or ended")
        return self._engine.once(sql, values)[0]

    @contextmanager
    def _definitions(self, *, changing: bool = True) -> Iterator[sa.Connection]:
        """A transaction about tables; of those changing them, one at a time among all processes."""
        try:
            with self._engine.sa.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                if not changing:
                    connection.exec_driver_sql("BEGIN")
                elif self._engine.postgresql:
                    connection.exec_driver_sql("BEGIN")
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SETUP_LOCK})")
                    if self._engine.schema is not None:
                        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {self._engine.schema}")
                else:
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                connection.exec_driver_sql("COMMIT")
        except sa.exc.DBAPIError as error:
            driver_error = error.orig if isinstance(error.orig, Exception) else error
            raise translate(driver_error, self._engine.dbapi, self._engine.name) from error


def _existing(connection: sa.Connection) -> set[str]:
    return set(sa.inspect(connection).get_table_names())
