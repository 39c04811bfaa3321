"""How far handlers have come, and what they have seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from functools import cache

from protean.adapters.sql import moments
from protean.adapters.sql.session import Session
from protean.clock import utc_now
from protean.message import Message
from protean.ports.progress import Position

# Insert or lock, and read what is there then, in one statement for any number of streams. DO UPDATE, though it
# changes nothing: DO NOTHING would neither lock nor return rows that exist. The order of the locks is that of
# the SELECT, by code point, the same for everybody, so that two group commits never wait for each other.
# Before the first row is locked the sort has read the gate, which is shared by all who lock positions of the handler,
# and closed by whoever exchanges its projection's table: what they read and write is on one side of that.
_LOCK_POSTGRESQL = """
INSERT INTO positions (handler, stream_name, position, blocked)
SELECT %s, stream_name, -1, false
FROM (SELECT pg_advisory_xact_lock_shared(%s)) AS gate, unnest(%s::text[]) AS given (stream_name)
ORDER BY stream_name COLLATE "C"
ON CONFLICT (handler, stream_name) DO UPDATE SET position = positions.position
RETURNING stream_name, position, blocked
"""
# In SQLite the transaction itself is the lock.
_LOCK_SQLITE = """
INSERT INTO positions (handler, stream_name, position, blocked)
SELECT %s, value, -1, 0 FROM json_each(%s) WHERE true
ON CONFLICT (handler, stream_name) DO UPDATE SET position = positions.position
RETURNING stream_name, position, blocked
"""
_MOVE = "UPDATE positions SET position = %s WHERE handler = %s AND stream_name = %s"
_MOVE_MANY = """
UPDATE positions SET position = moved.position
FROM unnest(%s::text[], %s::bigint[]) AS moved (stream_name, position)
WHERE positions.handler = %s AND positions.stream_name = moved.stream_name
"""
_BLOCK = "UPDATE positions SET blocked = %s WHERE handler = %s AND stream_name = %s"

# A conflict waits for the other transaction: it commits, and the row is known, or it rolls back, and is new. What the
# handler's floor vouches for is known without a row, which may have been pruned.
_RECORD = """
INSERT INTO inbox (handler, message_id, global_position, handled_at)
SELECT owner, given.message_id, given.global_position, moment FROM {given}
WHERE failed_before OR NOT EXISTS (
    SELECT 1 FROM handlers h
    WHERE h.name = owner AND h.message_type = given.message_type
      AND given.global_position > h.start AND given.global_position <= h.floor
)
ORDER BY given.message_id
ON CONFLICT DO NOTHING
RETURNING CAST(message_id AS text)
"""
_RECORD_POSTGRESQL = _RECORD.format(
    given="(SELECT %s::text, %s::timestamptz, %s::boolean) AS one (owner, moment, failed_before), "
    "unnest(%s::uuid[], %s::text[], %s::bigint[]) AS given (message_id, message_type, global_position)",
)
_RECORD_SQLITE = _RECORD.format(
    given="(SELECT %s AS owner, %s AS moment, %s AS failed_before) AS one, "
    "(SELECT json_extract(value, '$[0]') AS message_id, json_extract(value, '$[1]') AS message_type, "
    "json_extract(value, '$[2]') AS global_position FROM json_each(%s)) AS given",
)

_HANDLED = """
SELECT EXISTS (SELECT 1 FROM inbox WHERE handler = %s AND message_id = %s) OR EXISTS (
    SELECT 1 FROM handlers WHERE name = %s AND message_type = %s AND start < %s AND floor >= %s
)
"""


@cache
def handler_key(handler: str) -> int:
    """63 bits that stand for the handler among advisory locks, the same in every process and release."""
    return int.from_bytes(hashlib.sha256(f"positions of {handler}".encode()).digest()[:8]) >> 1


_FORGET = """
DELETE FROM inbox WHERE handler = %s AND message_id IN (
    SELECT message_id FROM inbox WHERE handler = %s AND global_position < %s ORDER BY global_position LIMIT %s
)
"""


class SqlPositions:
    """`Positions` in SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def lock(self, handler: str, stream_names: Collection[str]) -> dict[str, Position]:
        names = sorted(set(stream_names))
        if self._session.postgresql:
            rows = self._session.fetch(_LOCK_POSTGRESQL, (handler, handler_key(handler), names))
        else:
            rows = self._session.fetch(_LOCK_SQLITE, (handler, json.dumps(names)))
        return {name: Position(position, bool(blocked)) for name, position, blocked in rows}

    def move(self, handler: str, positions: Mapping[str, int]) -> None:
        if self._session.postgresql and len(positions) > 1:
            self._session.send(_MOVE_MANY, (list(positions), list(positions.values()), handler))
            return
        for stream_name, position in positions.items():
            self._session.send(_MOVE, (position, handler, stream_name))

    def block(self, handler: str, stream_name: str, blocked: bool) -> None:
        self._session.send(_BLOCK, (blocked, handler, stream_name))


class SqlInbox:
    """`Inbox` in SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record(self, handler: str, messages: Sequence[Message], *, failed_before: bool = False) -> set[str]:
        values = (handler, moments.to_text(utc_now()), failed_before)
        given = [(message.id, message.type, message.global_position) for message in messages]
        if self._session.postgresql:
            columns = zip(*given, strict=True) if given else ((), (), ())
            rows = self._session.fetch(_RECORD_POSTGRESQL, (*values, *map(list, columns)))
        else:
            rows = self._session.fetch(_RECORD_SQLITE, (*values, json.dumps(given)))
        return {message_id for (message_id,) in rows}

    def handled(self, handler: str, message: Message) -> bool:
        position = message.global_position
        values = (handler, message.id, handler, message.type, position, position)
        return bool(self._session.fetch(_HANDLED, values)[0][0])

    def forget(self, handler: str, below: int, limit: int) -> int:
        return self._session.counts([(_FORGET, (handler, handler, below, limit))])[0]
