"""Published events that brokers beyond the domain have not got yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from protean.adapters.sql import moments
from protean.adapters.sql.committing import committing
from protean.adapters.sql.engine import Engine
from protean.adapters.sql.outbox import IDLE_TIMEOUT, LocalLocks, lock_key
from protean.adapters.sql.session import Session, Statement, session
from protean.clock import utc_now
from protean.message import NewMessage
from protean.ports.outbox import Claim
from protean.ports.publications import Publication, PublicationBatch, PublicationCount

#: What relays of one broker exclude each other by, in the place of a lane.
_LANE = "published"

# `nth` is the given order: identities are allocated in that of the ORDER BY.
_ADD_POSTGRESQL = """
INSERT INTO publications (message_id, stream_name, target_broker)
SELECT message_id, stream_name, broker
FROM unnest(%s::uuid[], %s::text[]) WITH ORDINALITY AS n (message_id, stream_name, nth),
     unnest(%s::text[]) AS b (broker)
ORDER BY nth
"""
_ADD_SQLITE = "INSERT INTO publications (message_id, stream_name, target_broker) VALUES (%s, %s, %s)"

_EXCLUDE_OTHERS = """
SELECT pg_try_advisory_xact_lock(%s), set_config('idle_in_transaction_session_timeout', %s, true)
"""
# A row that was refused holds up its aggregate's later ones until its time has come. There are next to none, and they
# have an index of their own.
_DUE = """
    p.target_broker = %s AND NOT EXISTS (
        SELECT 1 FROM publications held
        WHERE held.target_broker = p.target_broker AND held.stream_name = p.stream_name AND held.attempts > 0
          AND held.next_attempt_at > %s AND held.id <= p.id
    )
"""
_WAITING = f"SELECT EXISTS (SELECT 1 FROM publications p WHERE {_DUE})"  # noqa: S608 -- constants
# By the order of numbers alone, which is that of an index: a backlog of any length is read from its beginning.
_CLAIM = f"""
SELECT p.id, CAST(p.message_id AS text), p.stream_name, m.stream_category, p.attempts, m.position,
       CAST(m.data AS text), CAST(m.metadata AS text)
FROM (SELECT * FROM publications p WHERE {_DUE} ORDER BY p.id LIMIT %s) p
JOIN messages m ON m.message_id = p.message_id
ORDER BY p.id
"""  # noqa: S608 -- constants
_FORGET_POSTGRESQL = "DELETE FROM publications WHERE id = ANY(%s::bigint[])"
_FORGET_SQLITE = "DELETE FROM publications WHERE id = %s"
_REFUSE = "UPDATE publications SET attempts = attempts + 1, last_error = %s, next_attempt_at = %s WHERE id = %s"
_COUNT = """
SELECT p.target_broker, m.stream_category, count(*), min(p.created_at), count(p.last_error), max(p.last_error)
FROM publications p JOIN messages m ON m.message_id = p.message_id GROUP BY 1, 2 ORDER BY 1, 2
"""
_FORGET = """
DELETE FROM publications WHERE id IN (SELECT id FROM publications WHERE target_broker = %s ORDER BY id LIMIT %s)
"""


class SqlPublishing:
    """`Publishing` in SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, messages: Sequence[NewMessage], brokers: Sequence[str]) -> None:
        if self._session.postgresql:
            ids, streams = [each.id for each in messages], [each.stream_name for each in messages]
            self._session.send(_ADD_POSTGRESQL, (ids, streams, list(brokers)))
            return
        for message in messages:
            for broker in brokers:
                self._session.send(_ADD_SQLITE, (message.id, message.stream_name, broker))


class SqlPublications:
    """`Publications` in SQL. `local_locks` are the outbox's."""

    def __init__(self, engine: Engine, local_locks: LocalLocks) -> None:
        self._engine = engine
        self._local_locks = local_locks

    def waiting(self, broker: str) -> bool:
        return bool(self._engine.once(_WAITING, (broker, moments.to_text(utc_now())))[0][0])

    @contextmanager
    def claim(self, broker: str, limit: int) -> Iterator[PublicationBatch | None]:
        yield from (self._claim_postgresql if self._engine.postgresql else self._claim_sqlite)(broker, limit)

    def count(self) -> list[PublicationCount]:
        return [
            PublicationCount(broker, category, rows, moments.from_column(oldest), refused, error)
            for broker, category, rows, oldest, refused, error in self._engine.once(_COUNT)
        ]

    def forget(self, broker: str, limit: int) -> int:
        with committing(self._engine) as transaction:
            return transaction.counts([(_FORGET, (broker, limit))])[0]

    def _claim_postgresql(self, broker: str, limit: int) -> Iterator[PublicationBatch | None]:
        transaction = session(self._engine)
        try:
            lock = lock_key(Claim(broker, _LANE))
            if not transaction.fetch(_EXCLUDE_OTHERS, (lock, f"{IDLE_TIMEOUT * 1000:.0f}ms"))[0][0]:
                yield None
            else:
                batch = _Batch(transaction.fetch(_CLAIM, _claimed(broker, limit)), postgresql=True)
                yield batch
                for sql, values in batch.marks:
                    transaction.send(sql, values)
            transaction.commit()
        finally:
            transaction.rollback()

    def _claim_sqlite(self, broker: str, limit: int) -> Iterator[PublicationBatch | None]:
        """No transaction while the broker is at it: it would stop every writer of the file."""
        lock = self._local_locks.of(broker, _LANE)
        if not lock.acquire(blocking=False):
            yield None
            return
        try:
            batch = _Batch(self._engine.once(_CLAIM, _claimed(broker, limit)), postgresql=False)
            yield batch
            if batch.marks:
                with committing(self._engine) as transaction:
                    transaction.counts(batch.marks)
        finally:
            lock.release()


class _Batch:
    def __init__(self, rows: Sequence[tuple[Any, ...]], *, postgresql: bool) -> None:
        self.rows: Sequence[Publication] = [Publication(*row) for row in rows]
        self.marks: list[Statement] = []
        self._postgresql = postgresql

    def published(self, ids: Sequence[int]) -> None:
        if self._postgresql and ids:
            self.marks.append((_FORGET_POSTGRESQL, (list(ids),)))
        elif ids:
            self.marks += [(_FORGET_SQLITE, (id_,)) for id_ in ids]

    def refused(self, row_id: int, error: str, next_attempt_at: datetime) -> None:
        # What a broker says may hold anything; a NUL would make the refusal itself fail.
        text = error.replace("\0", "\N{REPLACEMENT CHARACTER}")
        self.marks.append((_REFUSE, (text, moments.to_text(next_attempt_at), row_id)))


def _claimed(broker: str, limit: int) -> tuple[Any, ...]:
    return broker, moments.to_text(utc_now()), limit
