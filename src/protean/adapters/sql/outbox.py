"""The outbox as relays see it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

from protean.adapters.sql import moments
from protean.adapters.sql.engine import Engine
from protean.adapters.sql.session import Session, session
from protean.clock import utc_now
from protean.ports.broker import BEHIND, Tally
from protean.ports.outbox import Claim, OutboxBatch, OutboxCount, OutboxRow
from protean.ports.recovery import AWAITED_FOR, HOLDS_FOR, LaneState

#: Seconds that a relay's transaction may idle, which it does while the broker takes the batch. Above the
#: broker's timeout; a frozen relay then loses its session, its row locks and the lane to another one.
IDLE_TIMEOUT = 30

# A statement of its own, so that the claim's snapshot is taken when the lock is held: in one statement it would
# be older, and show rows as pending that the relay before has just marked.
_EXCLUDE_OTHERS = """
SELECT pg_try_advisory_xact_lock(%s), set_config('idle_in_transaction_session_timeout', %s, true)
"""

# The rows a claim means. The status is spelled out, not bound: only then does the planner know that the
# partial index holds them all. The bounds of the priority are always given, for one shape of statement.
_DUE = """
    status = 'pending' AND target_broker = %s AND priority >= %s AND priority < %s
    AND (next_attempt_at IS NULL OR next_attempt_at <= %s)
"""
_WAITING = f"SELECT EXISTS (SELECT 1 FROM outbox WHERE {_DUE})"  # noqa: S608 -- constants

# Highest priority first, then oldest id: the order of the index, so that a claim reads as many rows as it
# takes. The joined log need not keep that order; it is sorted again after fetching. The lane's count comes along with
# each row, for a statement less: it is read here, under the lock, because nobody else moves it then. So does whether a
# handler is registered for its type, which happens while nobody has a batch in hand: the answer holds until the marks.
_CLAIM = """
SELECT o.id, CAST(o.message_id AS text), o.stream_name, o.priority, o.attempts, o.created_at, m.position,
       m.global_position, CAST(m.data AS text), CAST(m.metadata AS text),
       o.type IN (SELECT message_type FROM handlers WHERE seen_at > %s), l.epoch, l.published
FROM (
    SELECT * FROM outbox WHERE {due} ORDER BY priority DESC, id LIMIT %s {locking}
) o JOIN messages m ON m.global_position = o.global_position
LEFT JOIN lanes l ON l.target_broker = %s AND l.lane = %s
"""
_CLAIM_POSTGRESQL = _CLAIM.format(due=_DUE, locking="FOR UPDATE SKIP LOCKED")
_CLAIM_SQLITE = _CLAIM.format(due=_DUE, locking="")

_MARK_POSTGRESQL = """
UPDATE outbox SET status = 'published', published_at = clock_timestamp() WHERE id = ANY(%s::bigint[])
"""
_MARK_SQLITE = "UPDATE outbox SET status = 'published', published_at = %s WHERE id = %s"
# A lane whose epoch has changed is another count. One that is not there (its table was emptied) begins to count.
_COUNTED = "UPDATE lanes SET published = %s WHERE target_broker = %s AND lane = %s AND epoch = %s"
_FIRST_COUNTED = """
INSERT INTO lanes (published, target_broker, lane, epoch) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_BEHIND = """
UPDATE lanes SET lost_at = {now}, lost_why = coalesce(lost_why, %s)
WHERE target_broker = %s AND lane = %s AND epoch = %s
"""
_BEHIND_WHY = "the broker has counted fewer batches than were given to it"
# With the marks in one statement: a round trip less, and one cannot become durable without the other.
_MARK_COUNTED = f"WITH counted AS ({_COUNTED}) {_MARK_POSTGRESQL}"
_MARK_FIRST_COUNTED = f"WITH counted AS ({_FIRST_COUNTED}) {_MARK_POSTGRESQL}"
_MARK_BEHIND = f"WITH behind AS ({_BEHIND.format(now='clock_timestamp()')}) {_MARK_POSTGRESQL}"
_REFUSE = """
UPDATE outbox SET attempts = attempts + 1, last_error = %s, next_attempt_at = %s, status = %s WHERE id = %s
"""
_COUNT = """
SELECT target_broker, stream_name, priority, status, count(*), min(created_at)
FROM outbox {} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
_COUNT_ALL, _COUNT_OWED = _COUNT.format(""), _COUNT.format("WHERE published_at IS NULL")
# What was written before a handler was registered and published after it is owed to that handler: its row is the only
# proof, until the floor has passed it; that of a handler which is gone for good never does.
_PRUNE = """
DELETE FROM outbox WHERE id IN (
    SELECT o.id FROM outbox o WHERE o.status = 'published' AND o.published_at < %s AND NOT EXISTS (
        SELECT 1 FROM handlers h
        WHERE h.seen_at > %s AND h.floor < h.head AND o.global_position > h.floor AND o.global_position <= h.head
    ) ORDER BY o.published_at LIMIT %s
)
"""
# The second condition follows from the first one, and is that of an index.
_REVIVE = """
UPDATE outbox SET status = 'pending', attempts = 0, next_attempt_at = NULL WHERE id IN (
    SELECT id FROM outbox WHERE status = 'failed' AND published_at IS NULL ORDER BY global_position LIMIT %s
)
"""


class LocalLocks:
    """What relays of one process exclude each other by where the database has no advisory locks."""

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str], threading.Lock] = {}

    def of(self, broker: str, lane: str) -> threading.Lock:
        return self._locks.setdefault((broker, lane), threading.Lock())


class SqlOutbox:
    """`Outbox` in SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.local_locks = LocalLocks()

    def waiting(self, claim: Claim) -> bool:
        return bool(self._engine.once(_WAITING, _bounds(claim))[0][0])

    @contextmanager
    def claim(self, claim: Claim, limit: int) -> Iterator[OutboxBatch | None]:
        claimed = self._claim_postgresql if self._engine.postgresql else self._claim_sqlite
        yield from claimed(claim, limit)

    def count(self) -> list[OutboxCount]:
        return self._counted(_COUNT_ALL)

    def owed(self) -> list[OutboxCount]:
        return self._counted(_COUNT_OWED)

    def prune(self, published_before: datetime, limit: int) -> int:
        seen_after = moments.to_text(utc_now() - HOLDS_FOR)
        return self._touched(_PRUNE, (moments.to_text(published_before), seen_after, limit))

    def revive(self, limit: int) -> int:
        return self._touched(_REVIVE, (limit,))

    def _counted(self, sql: str) -> list[OutboxCount]:
        return [
            OutboxCount(broker, category, priority, status, rows, moments.from_column(oldest))
            for broker, category, priority, status, rows, oldest in self._engine.once(sql)
        ]

    def _claim_postgresql(self, claim: Claim, limit: int) -> Iterator[OutboxBatch | None]:
        transaction = session(self._engine)
        try:
            if not transaction.fetch(_EXCLUDE_OTHERS, (lock_key(claim), f"{IDLE_TIMEOUT * 1000:.0f}ms"))[0][0]:
                yield None
            else:
                rows = transaction.fetch(_CLAIM_POSTGRESQL, _claimed(claim, limit))
                yield _PostgresqlBatch(_rows(rows), *_lane(claim, rows), transaction)
            transaction.commit()
        finally:
            transaction.rollback()

    def _claim_sqlite(self, claim: Claim, limit: int) -> Iterator[OutboxBatch | None]:
        """No transaction while the broker is at it: it would stop every writer of the file.

        Relays of one process exclude each other here; more than one worker on SQLite is refused anyway.
        """
        lock = self.local_locks.of(claim.broker, claim.name)
        if not lock.acquire(blocking=False):
            yield None
            return
        try:
            rows = self._engine.once(_CLAIM_SQLITE, _claimed(claim, limit))
            batch = _SqliteBatch(_rows(rows), *_lane(claim, rows))
            yield batch
            if batch.marks:
                self._mark(batch.marks)
        finally:
            lock.release()

    def _touched(self, sql: str, values: Sequence[Any]) -> int:
        """Run one statement in a transaction; the rows it touched."""
        transaction = session(self._engine)
        try:
            touched = transaction.counts([(sql, values)])[0]
            transaction.commit()
        finally:
            transaction.rollback()
        return touched

    def _mark(self, marks: Sequence[tuple[str, Sequence[Any]]]) -> None:
        transaction = session(self._engine)
        try:
            transaction.counts(marks)
            transaction.commit()
        finally:
            transaction.rollback()


class _PostgresqlBatch:
    def __init__(self, rows: Sequence[OutboxRow], lane: LaneState, opened: bool, transaction: Session) -> None:
        self.rows = rows
        self._lane = lane
        self._opened = opened
        self._transaction = transaction

    @property
    def tally(self) -> Tally:
        return self._lane.tally

    def published(self, ids: Sequence[int], counted: int | None = None) -> None:
        if not ids and counted is None:
            return
        if counted is None:
            sql, values = _MARK_POSTGRESQL, ()
        elif counted == BEHIND:
            sql, values = _MARK_BEHIND, _behind(self._lane)
        else:
            sql = _MARK_COUNTED if self._opened else _MARK_FIRST_COUNTED
            values = _counted(self._lane, counted)
        self._transaction.send(sql, (*values, list(ids)))

    def refused(self, row_id: int, error: str, next_attempt_at: datetime | None) -> None:
        self._transaction.send(_REFUSE, _refusal(row_id, error, next_attempt_at))


class _SqliteBatch:
    def __init__(self, rows: Sequence[OutboxRow], lane: LaneState, opened: bool) -> None:
        self.rows = rows
        self.marks: list[tuple[str, Sequence[Any]]] = []
        self._lane = lane
        self._opened = opened

    @property
    def tally(self) -> Tally:
        return self._lane.tally

    def published(self, ids: Sequence[int], counted: int | None = None) -> None:
        now = moments.to_text(utc_now())
        self.marks += [(_MARK_SQLITE, (now, id_)) for id_ in ids]
        if counted == BEHIND:
            self.marks.append((_BEHIND.format(now="%s"), (now, *_behind(self._lane))))
        elif counted is not None:
            self.marks.append((_COUNTED if self._opened else _FIRST_COUNTED, _counted(self._lane, counted)))

    def refused(self, row_id: int, error: str, next_attempt_at: datetime | None) -> None:
        self.marks.append((_REFUSE, _refusal(row_id, error, next_attempt_at)))


def lock_key(claim: Claim) -> int:
    """63 bits that stand for the broker and the lane, the same in every process and release."""
    digest = hashlib.sha256(f"{claim.broker}\0{claim.name}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def _bounds(claim: Claim) -> tuple[Any, ...]:
    """The values of `_DUE`. The bounds enclose every 32-bit priority when the claim leaves them open."""
    at_least = -(2**31) if claim.at_least is None else claim.at_least
    below = 2**31 if claim.below is None else claim.below
    return claim.broker, at_least, below, moments.to_text(utc_now())


def _claimed(claim: Claim, limit: int) -> tuple[Any, ...]:
    """The values of `_CLAIM`."""
    seen_after = moments.to_text(utc_now() - AWAITED_FOR)
    return seen_after, *_bounds(claim), limit, claim.broker, claim.name


def _lane(claim: Claim, rows: Sequence[tuple[Any, ...]]) -> tuple[LaneState, bool]:
    """The lane as the last two columns of each row tell it, and whether it was opened; if not, with a new epoch."""
    epoch, published = rows[0][-2:] if rows else (None, None)
    return LaneState(claim.broker, claim.name, epoch or uuid4().hex, published or 0), epoch is not None


def _counted(lane: LaneState, counted: int) -> tuple[Any, ...]:
    return counted, lane.broker, lane.lane, lane.epoch


def _behind(lane: LaneState) -> tuple[Any, ...]:
    return _BEHIND_WHY, lane.broker, lane.lane, lane.epoch


def _rows(rows: Sequence[tuple[Any, ...]]) -> list[OutboxRow]:
    claimed = [
        OutboxRow(
            id=id_,
            message_id=message_id,
            category=category,
            priority=priority,
            attempts=attempts,
            created_at=moments.from_column(created_at),
            position=position,
            global_position=global_position,
            data=data,
            metadata=metadata,
            awaited=bool(awaited),
        )
        for (
            id_, message_id, category, priority, attempts, created_at, position, global_position, data, metadata,
            awaited, *_,
        ) in rows
    ]  # fmt: skip
    claimed.sort(key=lambda row: (-row.priority, row.id))
    return claimed


def _refusal(row_id: int, error: str, next_attempt_at: datetime | None) -> tuple[Any, ...]:
    # What a broker says may hold anything; a NUL would make the refusal itself fail.
    text = error.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if next_attempt_at is None:
        return text, None, "failed", row_id
    return text, moments.to_text(next_attempt_at), "pending", row_id
