"""How far handlers have come, and what they have seen."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from protean.adapters.sql import moments
from protean.adapters.sql.session import Session
from protean.clock import utc_now
from protean.ports.progress import Position

# Insert or lock, and read what is there then, in one statement for any number of streams. DO UPDATE, though it
# changes nothing: DO NOTHING would neither lock nor return rows that exist. The order of the locks is that of
# the SELECT, by code point, the same for everybody, so that two group commits never wait for each other.
_LOCK_POSTGRESQL = """
INSERT INTO positions (handler, stream_name, position, blocked)
SELECT %s, stream_name, -1, false FROM unnest(%s::text[]) AS given (stream_name) ORDER BY stream_name COLLATE "C"
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

# A conflict waits for the other transaction: it commits, and the row is known, or it rolls back, and is new.
_RECORD_POSTGRESQL = """
INSERT INTO inbox (handler, message_id, handled_at)
SELECT %s, message_id, %s::timestamptz FROM unnest(%s::uuid[]) AS given (message_id) ORDER BY message_id
ON CONFLICT DO NOTHING
RETURNING message_id::text
"""
_RECORD_SQLITE = """
INSERT INTO inbox (handler, message_id, handled_at)
SELECT %s, value, %s FROM json_each(%s) WHERE true
ON CONFLICT DO NOTHING
RETURNING message_id
"""
_PRUNE = """
DELETE FROM inbox WHERE (handler, message_id) IN (
    SELECT handler, message_id FROM inbox WHERE handled_at < %s ORDER BY handled_at LIMIT %s
)
"""


class SqlPositions:
    """`Positions` in SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def lock(self, handler: str, stream_names: Collection[str]) -> dict[str, Position]:
        names = sorted(set(stream_names))
        if self._session.postgresql:
            rows = self._session.fetch(_LOCK_POSTGRESQL, (handler, names))
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

    def record(self, handler: str, message_ids: Sequence[str]) -> set[str]:
        now = moments.to_text(utc_now())
        if self._session.postgresql:
            rows = self._session.fetch(_RECORD_POSTGRESQL, (handler, now, list(message_ids)))
        else:
            rows = self._session.fetch(_RECORD_SQLITE, (handler, now, json.dumps(list(message_ids))))
        return {message_id for (message_id,) in rows}

    def prune(self, handled_before: datetime, limit: int) -> int:
        return self._session.counts([(_PRUNE, (moments.to_text(handled_before), limit))])[0]
