"""One database: where a transaction holds state, messages, outbox rows and progress together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from protean.ports.command_results import CommandResults
from protean.ports.control import Control
from protean.ports.idempotency import IdempotencyKeys
from protean.ports.log import Log
from protean.ports.outbox import Outbox
from protean.ports.progress import Failures, Inbox, Positions
from protean.ports.publications import Publications, Publishing
from protean.ports.rows import Rows, Table
from protean.ports.timeouts import Timeouts

if TYPE_CHECKING:
    # A server's, a rebuild's: applications, which import this module too, do without.
    from protean.ports.rebuilding import Rebuilding, Shadows
    from protean.ports.recovery import Recovery


class Transaction(Protocol):
    """One transaction, READ COMMITTED. Begun by its first statement; ends with `commit` or `rollback`.

    Used by one thread. After either end it is spent, and its connection is back in the pool.
    """

    @property
    def rows(self) -> Rows: ...

    @property
    def log(self) -> Log: ...

    @property
    def positions(self) -> Positions: ...

    @property
    def inbox(self) -> Inbox: ...

    @property
    def failures(self) -> Failures: ...

    @property
    def idempotency_keys(self) -> IdempotencyKeys: ...

    @property
    def rebuilding(self) -> Rebuilding: ...

    def with_rows(self, rows: Rows) -> Transaction:
        """The same transaction, whose rows are read and written through `rows`."""
        ...

    @property
    def command_results(self) -> CommandResults: ...

    @property
    def timeouts(self) -> Timeouts: ...

    @property
    def publications(self) -> Publishing: ...

    @property
    def control(self) -> Control: ...

    def commit(self) -> None:
        """Make it durable. When this raises DatabaseUnavailableError the outcome is unknown."""
        ...

    def rollback(self) -> None:
        """Undo everything. Never raises."""
        ...


class Database(Protocol):
    """A source of transactions; safe to share between threads."""

    @property
    def outbox(self) -> Outbox: ...

    @property
    def recovery(self) -> Recovery: ...

    @property
    def publications(self) -> Publications: ...

    @property
    def shadows(self) -> Shadows: ...

    def transaction(self) -> Transaction:
        """A transaction that takes a connection with its first statement."""
        ...

    def setup(self, tables: Sequence[Table]) -> list[str]:
        """Create what is missing of these tables and of the framework's own; the names created.

        What exists is never altered. Safe to run from several processes at once.
        """
        ...

    def truncate(self, tables: Sequence[Table]) -> None:
        """Empty these tables and the framework's own."""
        ...

    def drop(self, tables: Sequence[Table]) -> None:
        """Drop these tables and the framework's own."""
        ...

    def ping(self) -> None:
        """Raise DatabaseUnavailableError, naming what was tried, unless the database answers."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


@runtime_checkable
class Sessions(Protocol):
    """An extra ability, of databases with server-side sessions: seeing and ending those of other processes."""

    def terminate(self, consumer: str) -> int:
        """End the sessions whose application name is `consumer`; how many.

        A frozen process then holds no lock, and what it had begun cannot commit when it thaws.
        """
        ...

    def capacity(self) -> tuple[int, int]:
        """Connections in use by everybody, and the most the server allows."""
        ...

    def clock(self) -> datetime:
        """What time it is there, in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Lacking:
    """A table that was made before these columns and indexes were declared.

    `statements` is SQL that adds them, a line each.
    """

    table: str
    columns: tuple[str, ...]
    statements: tuple[str, ...]
    indexes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """A table that is not there. `statements` is SQL that makes it and its indexes, a line each."""

    table: str
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Differing:
    """A column that is there and asks for something else than is declared: `how`, as in `takes 20 characters, not 50`.

    New rows may be refused for it.
    """

    table: str
    column: str
    how: str


@runtime_checkable
class Definitions(Protocol):
    """An extra ability, of databases whose tables outlive the code that made them: comparing them with today's."""

    def missing(self, tables: Sequence[Table]) -> list[Missing]:
        """Which of these tables, and of the framework's own, `setup` would make. Changes nothing."""
        ...

    def differing(self, tables: Sequence[Table]) -> list[Differing]:
        """Columns of these tables, and of the framework's own, that refuse what is declared. Changes nothing."""
        ...

    def lacking(self, tables: Sequence[Table]) -> list[Lacking]:
        """Which of these tables, and of the framework's own, exist and lack columns. Changes nothing."""
        ...


@runtime_checkable
class Fitness(Protocol):
    """An extra ability, of databases with an administration of their own: saying what keeps this user from using them.

    Nothing is changed by asking.
    """

    def version(self) -> str:
        """What it is: `PostgreSQL 16.4`."""
        ...

    def absent(self, tables: Sequence[Table]) -> list[str]:
        """Which of these tables, and of the framework's own, are not there."""
        ...

    def forbidden(self, tables: Sequence[Table]) -> list[str]:
        """What this user must be allowed and is not, of the tables that are there: `INSERT on customer`."""
        ...

    def may_create(self) -> bool:
        """Whether this user may create tables."""
        ...
