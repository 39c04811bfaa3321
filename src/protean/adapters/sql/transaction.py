"""One transaction: the ports bound to one session."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

from protean.adapters.sql.command_results import SqlCommandResults
from protean.adapters.sql.control import SqlControl
from protean.adapters.sql.engine import Engine
from protean.adapters.sql.failures import SqlFailures
from protean.adapters.sql.idempotency import SqlIdempotencyKeys
from protean.adapters.sql.log import SqlLog
from protean.adapters.sql.positions import SqlInbox, SqlPositions
from protean.adapters.sql.publications import SqlPublishing
from protean.adapters.sql.rebuilding import SqlRebuilding
from protean.adapters.sql.rows import SqlRows
from protean.adapters.sql.session import session
from protean.adapters.sql.shape import Shape
from protean.adapters.sql.timeouts import SqlTimeouts
from protean.ports.rows import Rows, Table


class SqlTransaction:
    """`Transaction` in SQL. READ COMMITTED on PostgreSQL; SQLite has one writer at a time."""

    def __init__(self, engine: Engine, shape_of: Callable[[Table], Shape]) -> None:
        self._session = session(engine)
        self.rows: Rows = SqlRows(self._session, shape_of)
        self.log = SqlLog(self._session)
        self.positions = SqlPositions(self._session)
        self.inbox = SqlInbox(self._session)
        self.failures = SqlFailures(self._session)
        self.idempotency_keys = SqlIdempotencyKeys(self._session)
        self.command_results = SqlCommandResults(self._session)
        self.timeouts = SqlTimeouts(self._session)
        self.publications = SqlPublishing(self._session)
        self.control = SqlControl(self._session)

    @property
    def rebuilding(self) -> SqlRebuilding:
        return SqlRebuilding(self._session)

    def with_rows(self, rows: Rows) -> SqlTransaction:
        other = copy(self)
        other.rows = rows
        return other

    def commit(self) -> None:
        self._session.commit()

    def rollback(self) -> None:
        self._session.rollback()
