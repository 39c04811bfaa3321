"""One transaction's view of a store: the committed contents, until it changes something."""

from __future__ import annotations

from protean.adapters.memory.store import Contents, Store
from protean.exceptions import DatabaseError, InvalidOperationError
from protean.ports.rows import Table


class Session:
    """Waits for the one other writer with its first change; after an error only a rollback is possible."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes: Contents | None = None
        self._spoiled = False
        self._ended = False

    def seen(self, table: Table | None = None) -> Contents:
        """What this transaction reads."""
        self._check(table)
        return self._store.committed if self._changes is None else self._changes

    def changing(self, table: Table | None = None) -> Contents:
        """What this transaction writes to; nobody else writes until it ends."""
        self._check(table)
        if self._changes is None:
            self._changes = self._store.begin_writing()
        return self._changes

    def next_number(self, sequence: str, above: int = 0) -> int:
        return self._store.next_number(sequence, above)

    def spoil(self) -> None:
        """Allow nothing but a rollback from here on."""
        self._spoiled = True

    def commit(self) -> None:
        if self._ended:
            raise InvalidOperationError("this transaction has ended; begin another one")
        if self._spoiled:
            self.rollback()
            raise DatabaseError("a statement of this transaction failed, so nothing of it was committed")
        self._end(commit=True)

    def rollback(self) -> None:
        self._end(commit=False)

    def _end(self, *, commit: bool) -> None:
        self._ended = True
        changes, self._changes = self._changes, None
        if changes is not None:
            self._store.end_writing(changes, commit=commit)

    def _check(self, table: Table | None) -> None:
        if self._ended:
            raise InvalidOperationError("this transaction has ended; begin another one")
        if self._spoiled:
            raise DatabaseError("a statement of this transaction failed; roll it back and begin another one")
        if table is not None and table.name not in self._store.tables:
            self._spoiled = True
            raise DatabaseError(f"memory: no such table: {table.name}; `protean db setup` creates missing tables")
