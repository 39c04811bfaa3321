"""The outbox in memory."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from protean.adapters.memory.session import Session
from protean.adapters.memory.store import OutboxEntry, Store
from protean.clock import utc_now
from protean.ports.outbox import Claim, OutboxBatch, OutboxCount, OutboxRow

_Mark = Callable[[OutboxEntry], OutboxEntry]


class MemoryOutbox:
    """`Outbox` in memory. No transaction is open while the broker is at it: it would stop every writer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lanes: dict[tuple[str, str], threading.Lock] = {}

    def waiting(self, claim: Claim) -> bool:
        return bool(self._due(claim))

    @contextmanager
    def claim(self, claim: Claim, limit: int) -> Iterator[OutboxBatch | None]:
        lane = self._lanes.setdefault((claim.broker, claim.name), threading.Lock())
        if not lane.acquire(blocking=False):
            yield None
            return
        try:
            due = sorted(self._due(claim), key=lambda row: (-row.priority, row.id))
            batch = _Batch(due[:limit])
            yield batch
            self._mark(batch.marks)
        finally:
            lane.release()

    def count(self) -> list[OutboxCount]:
        groups: dict[tuple[str, str, int, str], list[datetime]] = defaultdict(list)
        for entry in list(self._store.committed.outbox.values()):
            message = entry.logged.message
            group = (entry.broker, message.category, message.priority, entry.status)
            groups[group].append(entry.created_at)
        return [OutboxCount(*group, len(times), min(times)) for group, times in sorted(groups.items())]

    def prune(self, published_before: datetime, limit: int) -> int:
        session = Session(self._store)
        outbox = session.changing().outbox
        old = sorted(
            (entry.published_at, id_)
            for id_, entry in outbox.items()
            if entry.published_at is not None and entry.published_at < published_before
        )[:limit]
        for _, id_ in old:
            del outbox[id_]
        session.commit()
        return len(old)

    def _due(self, claim: Claim) -> list[OutboxRow]:
        now = utc_now()
        return [
            _row(id_, entry)
            for id_, entry in list(self._store.committed.outbox.items())
            if entry.status == "pending"
            and entry.broker == claim.broker
            and (claim.at_least is None or entry.logged.message.priority >= claim.at_least)
            and (claim.below is None or entry.logged.message.priority < claim.below)
            and (entry.next_attempt_at is None or entry.next_attempt_at <= now)
        ]

    def _mark(self, marks: Sequence[tuple[int, _Mark]]) -> None:
        session = Session(self._store)
        for id_, mark in marks:
            outbox = session.changing().outbox
            outbox[id_] = mark(outbox[id_])
        session.commit()


class _Batch:
    def __init__(self, rows: Sequence[OutboxRow]) -> None:
        self.rows = rows
        self.marks: list[tuple[int, _Mark]] = []

    def published(self, ids: Sequence[int]) -> None:
        now = utc_now()
        self.marks += [(id_, lambda entry: replace(entry, status="published", published_at=now)) for id_ in ids]

    def refused(self, row_id: int, error: str, next_attempt_at: datetime | None) -> None:
        status = "failed" if next_attempt_at is None else "pending"

        def mark(entry: OutboxEntry) -> OutboxEntry:
            attempts = entry.attempts + 1
            return replace(entry, status=status, attempts=attempts, last_error=error, next_attempt_at=next_attempt_at)

        self.marks.append((row_id, mark))


def _row(id_: int, entry: OutboxEntry) -> OutboxRow:
    message = entry.logged.message
    return OutboxRow(
        id=id_,
        message_id=message.id,
        category=message.category,
        priority=message.priority,
        attempts=entry.attempts,
        created_at=entry.created_at,
        position=entry.logged.position,
        global_position=entry.logged.global_position,
        data=message.data,
        metadata=message.metadata,
    )
