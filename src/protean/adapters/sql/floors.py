"""Registration points and floors of handlers, and the settled end of the log that they stay below."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from protean.adapters.sql import moments
from protean.adapters.sql.committing import committing
from protean.adapters.sql.engine import Engine
from protean.adapters.sql.exclusion import relays_excluded
from protean.adapters.sql.outbox import LocalLocks
from protean.adapters.sql.session import Session
from protean.adapters.sql.unhandled import UNPUBLISHED, among, owed, unhandled
from protean.clock import utc_now
from protean.ports.recovery import Advance, Interest, Pruned, Standing

#: The advisory lock of raising floors, one per database. Any number does that nobody else uses.
_FLOORS_LOCK = 0x666C6F6F72
#: Seconds after which a handler counts as known of old: longer than processes of one server take to start together.
KNOWN_AFTER = 60.0
#: Seconds after which it is noted again that a handler is seen. Shorter writes more, and all engines have it at once.
SEEN_EVERY = 30.0

_HEAD = "SELECT coalesce(max(global_position), 0) FROM messages"
_WATERMARK = "SELECT settled, candidate, writers FROM watermarks WHERE name = 'log'"
# Who writes to the log holds this lock from before its first position is allocated until after its commit is visible.
# Transaction ids would not do: the sequence is asked before an id is assigned, and one that is open for hours
# somewhere else in the database would hold up everything.
_WRITERS = """
SELECT DISTINCT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'messages'::regclass AND mode = 'RowExclusiveLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Never back: two processes may look at the same time.
_KEEP = """
INSERT INTO watermarks (name, settled, candidate, writers) VALUES ('log', %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET candidate = excluded.candidate, writers = excluded.writers,
    settled = CASE WHEN excluded.settled > watermarks.settled THEN excluded.settled ELSE watermarks.settled END
"""

_LOWEST_UNPUBLISHED = "SELECT min(global_position) FROM outbox WHERE published_at IS NULL"
_REGISTER = """
INSERT INTO handlers (name, message_type, database, registered_at, seen_at, start, floor, head)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_NOW = "SELECT clock_timestamp()"
_SEEN = "UPDATE handlers SET seen_at = %s WHERE name = %s AND seen_at < %s AND "
_STANDINGS = "SELECT name, message_type, start, floor, head, registered_at, database, seen_at FROM handlers"

_EXCLUDE_OTHERS = "SELECT pg_try_advisory_xact_lock(%s)"
_WINDOW = """
SELECT count(*), max(global_position) FROM (
    SELECT global_position FROM messages WHERE global_position > %s AND global_position <= %s
    ORDER BY global_position LIMIT %s
) AS next
"""
_FIRST = "SELECT m.global_position, {unpublished} FROM messages m WHERE {condition} ORDER BY m.global_position LIMIT 1"
_RAISE = "UPDATE handlers SET floor = %s WHERE name = %s AND floor = %s AND "

# By position, not by age: it ends at the floor, however much has piled up above it. The type says whose floor.
_PRUNE_INBOX = """
DELETE FROM inbox WHERE handler = %s AND global_position > %s AND global_position <= %s AND handled_at < %s
  AND EXISTS (SELECT 1 FROM messages m WHERE m.global_position = inbox.global_position AND """
_INBOX_WINDOW = """
SELECT max(global_position), min(handled_at) FROM (
    SELECT global_position, handled_at FROM inbox
    WHERE handler = %s AND global_position > %s AND global_position <= %s ORDER BY global_position LIMIT %s
) AS next
"""


class SqlFloors:
    """`Floors` in SQL."""

    def __init__(self, engine: Engine, local_locks: LocalLocks) -> None:
        self._engine = engine
        self._local_locks = local_locks

    def settle(self) -> int:
        with committing(self._engine) as transaction:
            settled, _ = self._settle(transaction)
        return settled

    def register(self, database: str, interests: Sequence[Interest]) -> set[str]:
        with committing(self._engine) as transaction:
            now = _now(transaction)
            standings = _grouped(transaction.fetch(_STANDINGS))
            self._see(transaction, interests, now)
        known_before = now - timedelta(seconds=KNOWN_AFTER)
        known = {(each.handler, type_) for each in standings for type_ in each.types}
        of_old = {
            (each.handler, type_) for each in standings if each.registered_at <= known_before for type_ in each.types
        }
        wanted = {interest.handler: {(interest.handler, type_) for type_ in interest.types} for interest in interests}
        if missing := sorted(set().union(*wanted.values()) - known):
            self._register(database, missing)
        return {handler for handler, types in wanted.items() if types and types <= of_old}

    def standings(self) -> list[Standing]:
        return _grouped(self._engine.once(f"{_STANDINGS} ORDER BY name, message_type"))

    def advance(
        self, interest: Interest, standing: Standing, settled: int, limit: int, *, drained: bool = False
    ) -> Advance | None:
        with committing(self._engine) as transaction:
            return self._advance(transaction, interest, standing, settled, limit, drained=drained)

    def prune_inbox(
        self, interest: Interest, standing: Standing, handled_before: datetime, after: int, limit: int
    ) -> Pruned:
        cutoff = moments.to_text(handled_before)
        wanted = among("m.type", _types(interest, standing), postgresql=self._engine.postgresql)
        with committing(self._engine) as transaction:
            window = (interest.handler, max(after, standing.start), standing.floor, limit)
            upto, oldest = transaction.fetch(_INBOX_WINDOW, window)[0]
            if upto is None or moments.from_column(oldest) >= handled_before:
                return Pruned(0)
            values = (interest.handler, max(after, standing.start), upto, cutoff, *wanted.values)
            return Pruned(transaction.counts([(f"{_PRUNE_INBOX}{wanted.sql})", values)])[0], upto)

    def _settle(self, transaction: Session) -> tuple[int, int]:
        """See `settle`; what is settled, and the log's end as it is visible now."""
        found = transaction.fetch(_WATERMARK)
        settled, candidate, noted = found[0] if found else (0, None, None)
        # In this order: whoever has a position below this end and is not visible in it still writes afterwards.
        head: int = transaction.fetch(_HEAD)[0][0]
        # SQLite has one writer at a time, whose positions are above all that is visible.
        writers = {writer for (writer,) in transaction.fetch(_WRITERS)} if transaction.postgresql else set()
        if not writers:
            settled, candidate, noted = head, None, None
        else:
            if candidate is not None and writers.isdisjoint(noted.split(",")):
                settled, candidate = candidate, None
            if candidate is None:
                candidate, noted = head, ",".join(sorted(writers))
        transaction.send(_KEEP, (settled, candidate, noted))
        return settled, head

    def _see(self, transaction: Session, interests: Sequence[Interest], now: datetime) -> None:
        before = moments.to_text(now - timedelta(seconds=SEEN_EVERY))
        for interest in sorted(interests, key=lambda each: each.handler):  # one order: they wait for no one in a circle
            mine = among("message_type", interest.types, postgresql=transaction.postgresql)
            values = (moments.to_text(now), interest.handler, before, *mine.values)
            transaction.send(f"{_SEEN}{mine.sql}", values)

    def _register(self, database: str, missing: Sequence[tuple[str, str]]) -> None:
        # What a batch in flight does not publish, because nobody listened when it was claimed, is marked before.
        with relays_excluded(self._engine, self._local_locks) as transaction:
            settled, head = self._settle(transaction)
            lowest = transaction.fetch(_LOWEST_UNPUBLISHED)[0][0]
            start = min(settled, head) if lowest is None else min(settled, head, lowest - 1)
            now = moments.to_text(_now(transaction))
            values = (database, now, now, start, start, head)
            transaction.counts([(_REGISTER, (*key, *values)) for key in missing])

    def _advance(
        self,
        transaction: Session,
        interest: Interest,
        standing: Standing,
        settled: int,
        limit: int,
        *,
        drained: bool,
    ) -> Advance | None:
        if transaction.postgresql and not transaction.fetch(_EXCLUDE_OTHERS, (_FLOORS_LOCK,))[0][0]:
            return None
        if settled <= standing.floor:
            return Advance(standing.floor)
        looked_at, last = transaction.fetch(_WINDOW, (standing.floor, settled, limit))[0]
        more = looked_at == limit
        upto = last if more else settled
        types = _types(interest, standing)
        condition = unhandled(interest, types, standing.floor, upto, postgresql=transaction.postgresql)
        if drained and standing.head > standing.floor:
            condition &= owed(standing, standing.floor, upto)
        first = transaction.fetch(_FIRST.format(unpublished=UNPUBLISHED, condition=condition.sql), condition.values)
        floor = first[0][0] - 1 if first else upto
        if floor > standing.floor:
            mine = among("message_type", types, postgresql=transaction.postgresql)
            values = (floor, standing.handler, standing.floor, *mine.values)
            if not transaction.counts([(f"{_RAISE}{mine.sql}", values)])[0]:
                return None
        if first:
            return Advance(floor, first[0][0], bool(first[0][1]))
        return Advance(floor, more=more)


def standings_of(transaction: Session, interest: Interest) -> list[Standing]:
    """The standings of one handler, with those of their types that the running code knows."""
    rows = transaction.fetch(f"{_STANDINGS} WHERE name = %s ORDER BY message_type", (interest.handler,))
    return _grouped([row for row in rows if row[1] in interest.types])


def _grouped(rows: Sequence[tuple[Any, ...]]) -> list[Standing]:
    """Types of a handler that stand at the same place, together."""
    types: dict[tuple[Any, ...], dict[str, datetime]] = {}
    for name, message_type, *place, seen_at in rows:
        types.setdefault((name, *place), {})[message_type] = moments.from_column(seen_at)
    return [
        Standing(
            name, tuple(seen), start, floor, head, moments.from_column(registered_at), database, max(seen.values())
        )
        for (name, start, floor, head, registered_at, database), seen in types.items()
    ]


def _now(transaction: Session) -> datetime:
    """By the clock that rows are marked as published by."""
    return moments.from_column(transaction.fetch(_NOW)[0][0]) if transaction.postgresql else utc_now()


def _types(interest: Interest, standing: Standing) -> list[str]:
    """What the running code knows of a standing's types; the others' floor stays where it is."""
    return sorted(set(standing.types) & set(interest.types))
