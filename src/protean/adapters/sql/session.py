"""One connection for the length of one transaction, begun by its first statement."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import PoolProxiedConnection

from protean.adapters.sql import sqlite
from protean.adapters.sql.engine import Engine
from protean.adapters.sql.errors import translate
from protean.exceptions import DatabaseError, InvalidOperationError, ProteanError

if TYPE_CHECKING:
    import sqlite3

    import psycopg

    _Psycopg = psycopg.Connection[tuple[Any, ...]]

logger = logging.getLogger(__name__)

Statement = tuple[str, Sequence[Any]]
Rows = list[tuple[Any, ...]]
Check = Callable[[int, int], None]


def _accept(_number: int, _rows: int) -> None:
    """No check."""


def session(engine: Engine) -> Session:
    """A session of the kind that the engine's database needs."""
    return PostgresqlSession(engine) if engine.postgresql else SqliteSession(engine)


class Session(ABC):
    """Runs statements with `%s` for values; after an error nothing but a rollback is possible.

    That holds for PostgreSQL by itself. It is kept up for every database and every error, so that nobody who
    swallows one commits half of what was meant.
    """

    def __init__(self, engine: Engine) -> None:
        self.postgresql = engine.postgresql
        self._engine = engine
        self._pooled: PoolProxiedConnection | None = None
        self._spoiled = False
        self._ended = False

    def fetch(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """The rows a statement returns."""
        try:
            return self._fetch(self._connection(), sql, values)
        except (self._engine.dbapi.Error, UnicodeError, OverflowError) as error:
            raise self._failed(error) from error

    def send(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Run a statement that returns nothing."""
        try:
            self._send(self._connection(), sql, values)
        except (self._engine.dbapi.Error, UnicodeError, OverflowError) as error:
            raise self._failed(error) from error

    def counts(self, statements: Sequence[Statement], check: Check = _accept) -> list[int]:
        """Run the statements in order, in one round trip where the database can; the rows each one touched.

        `check` gets the number of a statement and its rows. It is called up to the first statement that fails
        and may raise an error of its own, which then is the one that came first.
        """
        try:
            return self._counts(self._connection(), statements, check)
        except (self._engine.dbapi.Error, UnicodeError, OverflowError) as error:
            raise self._failed(error) from error

    def spoil(self) -> None:
        """Allow nothing but a rollback from here on."""
        self._spoiled = True

    def commit(self) -> None:
        if self._ended:
            raise InvalidOperationError("this transaction has ended; begin another one")
        if self._spoiled:
            self.rollback()
            raise DatabaseError("a statement of this transaction failed, so nothing of it was committed")
        if self._pooled is not None:
            try:
                self._commit(self._pooled.driver_connection)
            except self._engine.dbapi.Error as error:
                failure = self._failed(error)
                self.rollback()
                raise failure from error
        self._release()

    def rollback(self) -> None:
        if self._pooled is not None:
            try:
                self._rollback(self._pooled.driver_connection)
            except self._engine.dbapi.Error as error:
                # Whatever state the connection is in: closing it undoes the transaction as well.
                logger.debug("Rolling back by closing a connection to %s: %s", self._engine.name, error)
                self._pooled.invalidate(error)
        self._release()

    def _connection(self) -> Any:
        if self._pooled is None:
            if self._ended:
                raise InvalidOperationError("this transaction has ended; begin another one")
            try:
                self._pooled = self._engine.checkout()
            except ProteanError:
                self._spoiled = True
                raise
            self._begin(self._pooled.driver_connection)
        elif self._spoiled:
            raise DatabaseError("a statement of this transaction failed; roll it back and begin another one")
        return self._pooled.driver_connection

    def _failed(self, error: Exception) -> ProteanError:
        self._spoiled = True
        return translate(error, self._engine.dbapi, self._engine.name, in_session=True)

    def _release(self) -> None:
        self._ended = True
        if self._pooled is not None:
            self._pooled.close()
            self._pooled = None

    @abstractmethod
    def _begin(self, connection: Any) -> None: ...

    @abstractmethod
    def _fetch(self, connection: Any, sql: str, values: Sequence[Any]) -> Rows: ...

    @abstractmethod
    def _send(self, connection: Any, sql: str, values: Sequence[Any]) -> None: ...

    @abstractmethod
    def _counts(self, connection: Any, statements: Sequence[Statement], check: Check) -> list[int]: ...

    @abstractmethod
    def _commit(self, connection: Any) -> None: ...

    @abstractmethod
    def _rollback(self, connection: Any) -> None: ...


class PostgresqlSession(Session):
    """One round trip a statement, and one for all of several that are given together.

    Keeping the whole transaction in pipeline mode was measured: three round trips instead of five for a unit of
    work, but psycopg's work for it costs more than a local round trip (470 against 330 microseconds), and a
    session in the middle of a pipeline does not count as idle, so that no timeout would end a frozen one.
    """

    def _begin(self, connection: _Psycopg) -> None:
        """The driver sends BEGIN before the first statement."""

    def _fetch(self, connection: _Psycopg, sql: str, values: Sequence[Any]) -> Rows:
        return connection.execute(sql.encode(), values).fetchall()

    def _send(self, connection: _Psycopg, sql: str, values: Sequence[Any]) -> None:
        connection.execute(sql.encode(), values)

    def _counts(self, connection: _Psycopg, statements: Sequence[Statement], check: Check) -> list[int]:
        if len(statements) == 1:
            sql, values = statements[0]
            rows = connection.execute(sql.encode(), values).rowcount
            check(0, rows)
            return [rows]
        cursors: list[psycopg.Cursor[tuple[Any, ...]]] = []
        try:
            self._send_all(connection, statements, cursors)
        finally:
            for number, cursor in enumerate(cursors):
                if cursor.rowcount < 0:
                    break
                check(number, cursor.rowcount)
        return [cursor.rowcount for cursor in cursors]

    def _send_all(
        self, connection: _Psycopg, statements: Sequence[Statement], cursors: list[psycopg.Cursor[tuple[Any, ...]]]
    ) -> None:
        """Send them in one round trip, a cursor each, and raise the first error when all replies are in.

        A pipeline that is left by an error meets that error's consequences, and the driver logs them as its own.
        """
        refused = (self._engine.dbapi.Error, UnicodeError, OverflowError)
        first: Exception | None = None
        try:
            with connection.pipeline():
                try:
                    # One by one: an error of the first may arrive while a later one is sent.
                    for sql, values in statements:
                        cursors.append(connection.execute(sql.encode(), values))
                except refused as error:
                    first = error
        except refused as error:
            first = first or error
        if first is not None:
            raise first

    def _commit(self, connection: _Psycopg) -> None:
        connection.commit()

    def _rollback(self, connection: _Psycopg) -> None:
        connection.rollback()


class SqliteSession(Session):
    """IMMEDIATE: writers wait at their beginning, where a deferred transaction fails in its middle."""

    def _begin(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")

    def _fetch(self, connection: sqlite3.Connection, sql: str, values: Sequence[Any]) -> Rows:
        return connection.execute(sqlite.placeholders(sql), values).fetchall()

    def _send(self, connection: sqlite3.Connection, sql: str, values: Sequence[Any]) -> None:
        connection.execute(sqlite.placeholders(sql), values)

    def _counts(self, connection: sqlite3.Connection, statements: Sequence[Statement], check: Check) -> list[int]:
        touched = []
        for number, (sql, values) in enumerate(statements):
            touched.append(connection.execute(sqlite.placeholders(sql), values).rowcount)
            check(number, touched[-1])
        return touched

    def _commit(self, connection: sqlite3.Connection) -> None:
        connection.execute("COMMIT")

    def _rollback(self, connection: sqlite3.Connection) -> None:
        connection.rollback()
