"""A database in this process's memory: the same answers, the same order, the same waiting, gone at exit."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from protean.adapters.memory.command_results import MemoryCommandResults
from protean.adapters.memory.control import MemoryControl
from protean.adapters.memory.idempotency import MemoryIdempotencyKeys
from protean.adapters.memory.log import MemoryLog
from protean.adapters.memory.outbox import MemoryOutbox
from protean.adapters.memory.progress import MemoryFailures, MemoryInbox, MemoryPositions
from protean.adapters.memory.publications import MemoryPublications, MemoryPublishing
from protean.adapters.memory.rebuilding import MemoryRebuilding, MemoryShadows
from protean.adapters.memory.recovery import MemoryRecovery
from protean.adapters.memory.rows import MemoryRows
from protean.adapters.memory.session import Session
from protean.adapters.memory.store import Contents, Store
from protean.adapters.memory.timeouts import MemoryTimeouts
from protean.ports.rows import Rows, Table


class MemoryTransaction:
    """`Transaction` in memory: one writer at a time, whose changes nobody sees before the commit."""

    def __init__(self, store: Store) -> None:
        self._session = Session(store)
        self.rows: Rows = MemoryRows(self._session)
        self.log = MemoryLog(self._session)
        self.positions = MemoryPositions(self._session)
        self.inbox = MemoryInbox(self._session)
        self.failures = MemoryFailures(self._session)
        self.idempotency_keys = MemoryIdempotencyKeys(self._session)
        self.command_results = MemoryCommandResults(self._session)
        self.timeouts = MemoryTimeouts(self._session)
        self.publications = MemoryPublishing(self._session)
        self.control = MemoryControl(self._session)

    @property
    def rebuilding(self) -> MemoryRebuilding:
        return MemoryRebuilding(self._session)

    def with_rows(self, rows: Rows) -> MemoryTransaction:
        other = copy(self)
        other.rows = rows
        return other

    def commit(self) -> None:
        self._session.commit()

    def rollback(self) -> None:
        self._session.rollback()


class MemoryDatabase:
    """`Database` in memory."""

    def __init__(self) -> None:
        self._store = Store()
        self.outbox = MemoryOutbox(self._store)
        self.recovery = MemoryRecovery(self._store, self.outbox)
        self.shadows = MemoryShadows(self._store)
        self.publications = MemoryPublications(self._store)

    def transaction(self) -> MemoryTransaction:
        return MemoryTransaction(self._store)

    def setup(self, tables: Sequence[Table]) -> list[str]:
        created = sorted({table.name for table in tables} - self._store.tables)
        self._store.tables.update(created)
        return created

    def truncate(self, tables: Sequence[Table]) -> None:
        del tables  # there are no others
        self._store.committed = Contents()

    def drop(self, tables: Sequence[Table]) -> None:
        self._store.tables.difference_update(table.name for table in tables)
        self._store.committed = Contents()

    def ping(self) -> None:
        return

    def close(self) -> None:
        return
