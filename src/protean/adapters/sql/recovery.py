"""What a lost broker is recovered from, in SQL: put together of its parts."""

from __future__ import annotations

from protean.adapters.sql.engine import Engine
from protean.adapters.sql.floors import SqlFloors
from protean.adapters.sql.ledger import SqlLaneLedger
from protean.adapters.sql.outbox import LocalLocks
from protean.adapters.sql.republishing import SqlRepublishing
from protean.adapters.sql.retiring import SqlRetiring


class SqlRecovery(SqlLaneLedger, SqlFloors, SqlRepublishing, SqlRetiring):
    """`Recovery` in SQL. `local_locks` are the outbox's."""

    def __init__(self, engine: Engine, local_locks: LocalLocks) -> None:
        SqlRepublishing.__init__(self, engine, local_locks)
