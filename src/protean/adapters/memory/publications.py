"""Published events that brokers beyond the domain have not got yet, in memory."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from protean.adapters.memory.session import Session
from protean.adapters.memory.store import PublicationEntry, Store
from protean.clock import utc_now
from protean.message import NewMessage
from protean.ports.publications import Publication, PublicationBatch, PublicationCount


class MemoryPublishing:
    """`Publishing` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, messages: Sequence[NewMessage], brokers: Sequence[str]) -> None:
        contents = self._session.changing()
        for message in messages:
            for broker in brokers:
                entry = PublicationEntry(contents.messages[message.id], broker, utc_now())
                contents.publications[self._session.next_number("publications")] = entry


class MemoryPublications:
    """`Publications` in memory. No transaction is open while the broker is at it: it would stop every writer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks: dict[str, threading.Lock] = {}

    def waiting(self, broker: str) -> bool:
        return bool(self._due(broker))

    @contextmanager
    def claim(self, broker: str, limit: int) -> Iterator[PublicationBatch | None]:
        lock = self._locks.setdefault(broker, threading.Lock())
        if not lock.acquire(blocking=False):
            yield None
            return
        try:
            batch = _Batch(self._due(broker)[:limit])
            yield batch
            self._mark(batch)
        finally:
            lock.release()

    def count(self) -> list[PublicationCount]:
        found: dict[tuple[str, str], list[PublicationEntry]] = defaultdict(list)
        for entry in list(self._store.committed.publications.values()):
            found[entry.broker, entry.logged.message.category].append(entry)
        return [
            PublicationCount(
                broker,
                category,
                len(entries),
                min(entry.created_at for entry in entries),
                len(errors := [entry.last_error for entry in entries if entry.last_error is not None]),
                max(errors, default=None),
            )
            for (broker, category), entries in sorted(found.items())
        ]

    def forget(self, broker: str, limit: int) -> int:
        session = Session(self._store)
        publications = session.changing().publications
        mine = sorted(id_ for id_, entry in publications.items() if entry.broker == broker)[:limit]
        for id_ in mine:
            del publications[id_]
        session.commit()
        return len(mine)

    def _due(self, broker: str) -> list[Publication]:
        now, held, due = utc_now(), set[str](), list[Publication]()
        for id_, entry in sorted(self._store.committed.publications.items()):
            message = entry.logged.message
            if entry.broker != broker or message.stream_name in held:
                continue
            if entry.next_attempt_at is not None and entry.next_attempt_at > now:
                held.add(message.stream_name)
                continue
            place = (message.stream_name, message.category, entry.attempts, entry.logged.position)
            due.append(Publication(id_, message.id, *place, message.data, message.metadata))
        return due

    def _mark(self, batch: _Batch) -> None:
        session = Session(self._store)
        publications = session.changing().publications
        for id_ in batch.done:
            publications.pop(id_, None)
        for id_, (error, next_attempt_at) in batch.refusals.items():
            if (entry := publications.get(id_)) is not None:
                attempts = entry.attempts + 1
                publications[id_] = replace(entry, attempts=attempts, last_error=error, next_attempt_at=next_attempt_at)
        session.commit()


class _Batch:
    def __init__(self, rows: Sequence[Publication]) -> None:
        self.rows = rows
        self.done: list[int] = []
        self.refusals: dict[int, tuple[str, datetime]] = {}

    def published(self, ids: Sequence[int]) -> None:
        self.done += ids

    def refused(self, row_id: int, error: str, next_attempt_at: datetime) -> None:
        self.refusals[row_id] = error, next_attempt_at
