"""The outbox in memory."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from protean.adapters.memory.session import Session
from protean.adapters.memory.store import OutboxEntry, Store
from protean.clock import utc_now
from protean.ports.broker import BEHIND, Tally
from protean.ports.outbox import Claim, OutboxBatch, OutboxCount, OutboxRow
from protean.ports.recovery import AWAITED_FOR, HOLDS_FOR, LaneState

_Mark = Callable[[OutboxEntry], OutboxEntry]


class MemoryOutbox:
    """`Outbox` in memory. No transaction is open while the broker is at it: it would stop every writer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks: dict[tuple[str, str], threading.Lock] = {}

    def lock(self, broker: str, lane: str) -> threading.Lock:
        """What relays of a lane exclude each other by."""
        return self._locks.setdefault((broker, lane), threading.Lock())

    def waiting(self, claim: Claim) -> bool:
        return bool(self._due(claim))

    @contextmanager
    def claim(self, claim: Claim, limit: int) -> Iterator[OutboxBatch | None]:
        lock = self.lock(claim.broker, claim.name)
        if not lock.acquire(blocking=False):
            yield None
            return
        try:
            due = sorted(self._due(claim), key=lambda row: (-row.priority, row.id))
            known = self._store.committed.lanes.get((claim.broker, claim.name))
            batch = _Batch(due[:limit], known or LaneState(claim.broker, claim.name, uuid4().hex, 0))
            yield batch
            self._mark(batch)
        finally:
            lock.release()

    def count(self) -> list[OutboxCount]:
        groups: dict[tuple[str, str, int, str], list[datetime]] = defaultdict(list)
        for entry in list(self._store.committed.outbox.values()):
            message = entry.logged.message
            group = (entry.broker, message.category, message.priority, entry.status)
            groups[group].append(entry.created_at)
        return [OutboxCount(*group, len(times), min(times)) for group, times in sorted(groups.items())]

    def owed(self) -> list[OutboxCount]:
        return [count for count in self.count() if count.status != "published"]

    def prune(self, published_before: datetime, limit: int) -> int:
        session = Session(self._store)
        outbox = session.changing().outbox
        seen_after = utc_now() - HOLDS_FOR
        handlers = session.changing().handlers.values()
        windows = [(each.floor, each.head) for each in handlers if each.seen_at > seen_after]
        old = sorted(
            (entry.published_at, id_)
            for id_, entry in outbox.items()
            if entry.published_at is not None
            and entry.published_at < published_before
            and not any(floor < entry.logged.global_position <= head for floor, head in windows)
        )[:limit]
        for _, id_ in old:
            del outbox[id_]
        session.commit()
        return len(old)

    def revive(self, limit: int) -> int:
        session = Session(self._store)
        outbox = session.changing().outbox
        failed = sorted(
            (entry.logged.global_position, id_) for id_, entry in outbox.items() if entry.status == "failed"
        )[:limit]
        for _, id_ in failed:
            outbox[id_] = replace(outbox[id_], status="pending", attempts=0, next_attempt_at=None)
        session.commit()
        return len(failed)

    def _due(self, claim: Claim) -> list[OutboxRow]:
        now = utc_now()
        seen_after = now - AWAITED_FOR
        handlers = list(self._store.committed.handlers.items())
        awaited = {type_ for (_, type_), standing in handlers if standing.seen_at > seen_after}
        return [
            _row(id_, entry, entry.logged.message.type in awaited)
            for id_, entry in list(self._store.committed.outbox.items())
            if entry.status == "pending"
            and entry.broker == claim.broker
            and (claim.at_least is None or entry.logged.message.priority >= claim.at_least)
            and (claim.below is None or entry.logged.message.priority < claim.below)
            and (entry.next_attempt_at is None or entry.next_attempt_at <= now)
        ]

    def _mark(self, batch: _Batch) -> None:
        session = Session(self._store)
        for id_, mark in batch.marks:
            outbox = session.changing().outbox
            outbox[id_] = mark(outbox[id_])
        if batch.lane != batch.lane_before:
            lanes, key = session.changing().lanes, (batch.lane.broker, batch.lane.lane)
            now = lanes.get(key, batch.lane_before)
            if now.epoch == batch.lane.epoch:
                lost_at, lost_why = batch.lane.lost_at or now.lost_at, batch.lane.lost_why or now.lost_why
                lanes[key] = replace(now, published=batch.lane.published, lost_at=lost_at, lost_why=lost_why)
        session.commit()


class _Batch:
    def __init__(self, rows: Sequence[OutboxRow], lane: LaneState) -> None:
        self.rows = rows
        self.marks: list[tuple[int, _Mark]] = []
        self.lane = self.lane_before = lane

    @property
    def tally(self) -> Tally:
        return self.lane_before.tally

    def published(self, ids: Sequence[int], counted: int | None = None) -> None:
        now = utc_now()
        self.marks += [(id_, lambda entry: replace(entry, status="published", published_at=now)) for id_ in ids]
        if counted == BEHIND:
            why = self.lane.lost_why or "the broker has counted fewer batches than were given to it"
            self.lane = replace(self.lane, lost_at=now, lost_why=why)
        elif counted is not None:
            self.lane = replace(self.lane, published=counted)

    def refused(self, row_id: int, error: str, next_attempt_at: datetime | None) -> None:
        status = "failed" if next_attempt_at is None else "pending"

        def mark(entry: OutboxEntry) -> OutboxEntry:
            attempts = entry.attempts + 1
            return replace(entry, status=status, attempts=attempts, last_error=error, next_attempt_at=next_attempt_at)

        self.marks.append((row_id, mark))


def _row(id_: int, entry: OutboxEntry, awaited: bool) -> OutboxRow:
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
        awaited=awaited,
    )
