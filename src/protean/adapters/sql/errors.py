"""Drivers' errors in protean's words: the one place where they are told apart."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from protean.exceptions import (
    DatabaseError,
    DatabaseUnavailableError,
    ProteanError,
    ResourceLimitError,
    SessionLostError,
    TableMissingError,
    TakenError,
    TransientDatabaseError,
    ValidationError,
)

#: SQLSTATEs after which the same transaction may well succeed: serialization failure, deadlock, lock not
#: available, statement timeout.
_TRANSIENT = frozenset(["40001", "40P01", "55P03", "57014"])
#: SQLSTATE classes and codes of a server that cannot be used now: connection exceptions, resources (disk,
#: memory, connections), shutdown and start-up, a session that was ended for idling in its transaction or for
#: its transaction's length, a server that takes no writes (a standby, or one set so), one that fails to read
#: or write its files.
_UNAVAILABLE = ("08", "53", "57P", "25P03", "25P04", "25006", "58030")
#: Of these, what says that it is this session that ended. 57P02 is about the crash of somebody else's.
_SESSION_ENDED = ("08", "57P01", "57P05", "25P03", "25P04")
#: Of these, what may be due to the statement: out of memory, beyond a configured limit such as temp_file_limit.
_TOO_MUCH = frozenset(["53200", "53400"])
_SQLITE_TRANSIENT = ("SQLITE_BUSY", "SQLITE_LOCKED")
_SQLITE_UNAVAILABLE = ("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_NOTADB")
_NO_TABLE, _NO_COLUMN = "42P01", "42703"
_SQLITE_NO_COLUMN = ("no such column", "has no column named")
#: `Key (email)=(a@b.c) already exists.` in whatever language the server speaks.
_KEY_DETAIL = re.compile(r"\((.+?)\)=\(")
_SETUP_HINT = "; `protean db setup` creates missing tables"
_COLUMN_HINT = "; `protean db setup` says which columns are missing and prints the SQL that adds them"


class PositionTakenError(TransientDatabaseError):
    """Raised when a position in a stream is taken. Of a stream that was expected to end before it: see `SqlLog`."""


def translate(error: Exception, dbapi: Any, database: str, *, in_session: bool = False) -> ProteanError:
    """The error to raise in place of a driver's. `dbapi` is the driver's module, `database` names the database.

    `in_session`: it came while a transaction was under way, and not from connecting.
    """
    if isinstance(error, PoolTimeoutError):
        return DatabaseUnavailableError(f"Every pooled connection to {database} is in use; raise pool_size: {error}")
    if isinstance(error, sqlite3.Error):
        return _from_sqlite(error, database)
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate is None:
        # Without a SQLSTATE the server said nothing: the connection is at fault, or a value never left here.
        if isinstance(error, (dbapi.OperationalError, dbapi.InterfaceError)):
            return _lost(error, database) if in_session else _unavailable(error, database)
        return DatabaseError(f"{database}: {_first_line(error)}")
    return (_from_session if in_session else _from_sqlstate)(error, sqlstate, database)


def _from_session(error: Any, sqlstate: str, database: str) -> ProteanError:
    if sqlstate.startswith(_SESSION_ENDED):
        return _lost(error, database)
    if sqlstate in _TOO_MUCH:
        return ResourceLimitError(f"{database} cannot carry out a statement: {_first_line(error)}")
    return _from_sqlstate(error, sqlstate, database)


def _from_sqlstate(error: Any, sqlstate: str, database: str) -> ProteanError:
    if sqlstate in _TRANSIENT:
        return TransientDatabaseError(f"{database}: {_first_line(error)}")
    if sqlstate.startswith(_UNAVAILABLE):
        return _unavailable(error, database)
    if sqlstate == "23505":
        found = _KEY_DETAIL.search(error.diag.message_detail or "")
        columns = found.group(1).replace('"', "").split(", ") if found else [error.diag.constraint_name or "_entity"]
        return _taken(error.diag.table_name, columns, database)
    if sqlstate == "23502":
        return ValidationError({error.diag.column_name or "_entity": ["is required"]})
    if sqlstate == _NO_TABLE:
        return TableMissingError(f"{database}: {_first_line(error)}{_SETUP_HINT}")
    return DatabaseError(f"{database}: {_first_line(error)}{_COLUMN_HINT if sqlstate == _NO_COLUMN else ''}")


def _from_sqlite(error: sqlite3.Error, database: str) -> ProteanError:
    text, name = str(error), getattr(error, "sqlite_errorname", "")
    if name.startswith(_SQLITE_TRANSIENT):
        return TransientDatabaseError(f"{database}: {text}: another transaction held it for too long")
    if name.startswith(_SQLITE_UNAVAILABLE):
        return _unavailable(error, database)
    if name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
        paths = text.partition(": ")[2].split(", ")
        return _taken(paths[0].partition(".")[0], [path.rpartition(".")[2] for path in paths], database)
    if "no such table" in text:
        return TableMissingError(f"{database}: {text}{_SETUP_HINT}")
    hint = _COLUMN_HINT if any(phrase in text for phrase in _SQLITE_NO_COLUMN) else ""
    return DatabaseError(f"{database}: {text}{hint}")


def _taken(table: str | None, columns: list[str], database: str) -> ProteanError:
    if table != "messages":
        return TakenError(table or "", columns)
    if "position" in columns:
        return PositionTakenError(f"{database}: another transaction wrote to the same stream at the same time")
    return DatabaseError(f"{database}: a message with that id is in the log already")


def _unavailable(error: Exception, database: str) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        f"{database} cannot be used: {_first_line(error)}; is it running, and does database_uri name it?"
    )


def _lost(error: Exception, database: str) -> SessionLostError:
    return SessionLostError(f"the session with {database} ended: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
