"""The way to a database: its URI, its pool of connections, and what every connection is told."""

from __future__ import annotations

import os
import re
import select
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from protean.adapters.sql import sqlite
from protean.adapters.sql.errors import translate
from protean.exceptions import ConfigurationError

#: Bytes of an application name that PostgreSQL keeps; more would be cut without a word.
_NAME_BYTES = 63
#: The release of PostgreSQL that brought a collation for all letters, whatever it was built with.
_BUILTIN_LETTERS = 170_000
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds. `statement` of 0 lets statements run for ever, which migrations need and services do not.

    `connect` bounds one attempt, `pool` the wait for a connection that another thread has, `silence` how long
    a peer may leave packets unanswered before the connection counts as dead (keepalives find it when idle).
    """

    connect: int = 5
    pool: float = 30.0
    statement: float = 0.0
    silence: int = 10


DEFAULT_TIMEOUTS = Timeouts()


class Engine:
    """A pool of connections to one database."""

    def __init__(
        self, uri: str, *, pool_size: int, application_name: str, schema: str | None, timeouts: Timeouts
    ) -> None:
        url = _parse(uri)
        self.postgresql = url.get_backend_name() == "postgresql"
        self.name = _display_name(url)
        self.schema = schema
        if self.postgresql:
            arguments = _postgresql_arguments(application_name, schema, timeouts)
        elif schema is not None:
            raise ConfigurationError(f"{self.name} has no schemas; remove schema={schema!r}")
        else:
            arguments = {"check_same_thread": False, "timeout": sqlite.BUSY_TIMEOUT}
        in_memory = not self.postgresql and url.database in (None, "", ":memory:")
        try:
            self.sa = sa.create_engine(
                url,
                poolclass=QueuePool,
                # Every connection to ":memory:" is a database of its own, so there is one, taken in turns.
                pool_size=1 if in_memory else pool_size,
                max_overflow=0,
                pool_timeout=sqlite.BUSY_TIMEOUT if in_memory else timeouts.pool,
                # SQLite's driver would begin transactions itself, deferred; `Session` begins them immediate.
                **({} if self.postgresql else {"isolation_level": "AUTOCOMMIT"}),
                connect_args=arguments,
            )
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"{self.name} needs a driver: pip install 'protean[postgresql]'") from error
        self._letters: str | None = None
        if self.postgresql:
            sa.event.listen(self.sa, "connect", self._learn_letters)
            sa.event.listen(self.sa, "checkout", _replace_if_dead)
        else:
            sa.event.listen(self.sa, "connect", sqlite.prepare)
        _forget_after_fork(self)

    @property
    def letters(self) -> str:
        """The collation of PostgreSQL that knows the small letter of every letter; empty where there is none.

        What `lower` makes of letters beyond ASCII must not depend on the locale that a database was made with.
        """
        if self._letters is None:
            self.checkout().close()  # the first connection tells
        return self._letters or ""

    def _learn_letters(self, connection: Any, record: ConnectionPoolEntry) -> None:
        del record
        if self._letters is not None:
            return
        if connection.info.parameter_status("server_encoding") != "UTF8":
            self._letters = ""
        elif connection.info.server_version >= _BUILTIN_LETTERS:
            self._letters = "pg_c_utf8"
        else:
            known = connection.execute("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'").fetchone()
            connection.rollback()
            self._letters = "" if known is None else '"und-x-icu"'

    def checkout(self) -> PoolProxiedConnection:
        """A connection from the pool. Raises DatabaseUnavailableError."""
        try:
            return self.sa.raw_connection()
        except (self.dbapi.Error, sa.exc.SQLAlchemyError) as error:
            raise translate(error, self.dbapi, self.name) from error

    def once(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement that is its own transaction: one round trip, no BEGIN and COMMIT."""
        connection = self.checkout()
        try:
            if self.postgresql:
                _autocommit(connection, True)
            cursor = connection.cursor()
            cursor.execute(sql if self.postgresql else sqlite.placeholders(sql), values)
            rows = list(cursor.fetchall())
            if self.postgresql:
                _autocommit(connection, False)
        except self.dbapi.Error as error:
            connection.invalidate(error)
            raise translate(error, self.dbapi, self.name) from error
        except BaseException as error:
            # Interrupted, the connection may still await an answer, and would refuse its next statement.
            connection.invalidate(error)
            raise
        else:
            return rows
        finally:
            connection.close()

    def quoted(self, name: str) -> str:
        """An identifier as it may stand in a statement with `%s` placeholders."""
        text = self.sa.dialect.identifier_preparer.quote(name)
        return text if self.postgresql else text.replace("%", "%%")

    @property
    def dbapi(self) -> Any:
        """The driver's module, for its error classes."""
        return self.sa.dialect.dbapi

    def close(self) -> None:
        self.sa.dispose()


def _parse(uri: str) -> sa.URL:
    try:
        url = sa.make_url(uri)
    except sa.exc.ArgumentError:
        raise ConfigurationError(
            "database_uri is not a URI such as postgresql://user@host:5432/name or sqlite:///file.db"
        ) from None
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        return url
    raise ConfigurationError(f"database_uri begins with {url.drivername}://; postgresql:// and sqlite:// are supported")


def _display_name(url: sa.URL) -> str:
    """The database in messages, without password and without options, which may hold secrets too."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database or ''}"
    user = f"{url.username}@" if url.username else ""
    port = f":{url.port}" if url.port else ""
    host = url.host or url.query.get("host", "")
    return f"postgresql://{user}{host}{port}/{url.database or ''}"


def _postgresql_arguments(application_name: str, schema: str | None, timeouts: Timeouts) -> dict[str, Any]:
    if len(application_name.encode()) > _NAME_BYTES:
        raise ConfigurationError(f"application name {application_name!r} is longer than {_NAME_BYTES} bytes")
    options = ["-c timezone=UTC", f"-c statement_timeout={round(timeouts.statement * 1000)}"]
    # Locks are waited for and then decided on: under another isolation, which a database may have for its default,
    # waiting would end in errors, and what is read after a lock would be older than the lock.
    options.append("-c default_transaction_isolation=read\\ committed")
    if schema is not None:
        if not _SCHEMA.fullmatch(schema):
            raise ConfigurationError(f"schema {schema!r} must be lower-case letters, digits and underscores")
        options.append(f"-c search_path={schema}")
    return {
        "application_name": application_name,
        "options": " ".join(options),
        "connect_timeout": timeouts.connect,
        "keepalives_idle": timeouts.silence,
        "keepalives_interval": max(1, timeouts.silence // 3),
        "keepalives_count": 3,
        "tcp_user_timeout": timeouts.silence * 1000,
    }


def _replace_if_dead(connection: Any, record: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
    """Have the pool replace a connection that the server closed while it lay idle.

    An idle connection with something to read has got a farewell. Looking costs two microseconds; asking the
    server (`pool_pre_ping`) would cost a round trip per transaction and sees no more.
    """
    del record, proxy
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise sa.exc.DisconnectionError


def _autocommit(connection: PoolProxiedConnection, on: bool) -> None:
    """A setting of the driver, not a statement: it costs no round trip."""
    driver: Any = connection.driver_connection
    driver.autocommit = on


def _forget_after_fork(engine: Engine) -> None:
    """A child must not talk on its parent's connections; it opens its own."""
    reference = weakref.ref(engine)

    def forget() -> None:
        if (alive := reference()) is not None:
            alive.sa.dispose(close=False)

    os.register_at_fork(after_in_child=forget)
