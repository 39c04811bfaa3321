"""What a rebuild asks of one transaction."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from protean import codec
from protean.adapters.sql import moments
from protean.adapters.sql.exchanging import exchange, wait_at_most
from protean.adapters.sql.positions import handler_key
from protean.adapters.sql.session import Session
from protean.adapters.sql.unhandled import among
from protean.message import Message
from protean.ports.rebuilding import Behind, UnderWay
from protean.ports.recovery import Interest
from protean.ports.rows import Table

_COLUMNS = "projection, shadow, token, position, done, total, begun_at, stepped_at"
_UNDER_WAY = f"SELECT {_COLUMNS} FROM rebuilds ORDER BY projection"  # noqa: S608 -- constants
_BEGIN = f"""
INSERT INTO rebuilds ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (projection) DO UPDATE SET shadow = excluded.shadow, token = excluded.token, position = excluded.position,
    done = excluded.done, total = excluded.total, begun_at = excluded.begun_at, stepped_at = excluded.stepped_at
"""  # noqa: S608 -- constants
# An update that changes nothing: the row stays locked, and a new owner waits for this transaction.
_HOLD = "UPDATE rebuilds SET token = token WHERE projection = %s AND token = %s"
_STEP = """
UPDATE rebuilds SET position = %s, done = %s, total = %s, stepped_at = %s WHERE projection = %s AND token = %s
"""
_END = "DELETE FROM rebuilds WHERE projection = %s AND token = %s"

_HEAD = "SELECT coalesce(max(global_position), 0) FROM messages"
# A category at a time, each in the order of its index: asked for several at once, the planner would sort all that is
# left of the log for every page.
_CATEGORY = """
SELECT * FROM (
    SELECT CAST(data AS text) AS data, CAST(metadata AS text) AS metadata, position, global_position FROM messages
    WHERE stream_category = %s AND global_position > %s AND global_position <= %s ORDER BY global_position LIMIT %s
) AS of_category
"""
_GAPS = """
SELECT stream_name FROM messages WHERE {categories}
GROUP BY stream_name HAVING min(position) > 0 OR count(*) <= max(position) ORDER BY stream_name LIMIT %s
"""
_APPLIED_AND_GONE = """
SELECT DISTINCT p.stream_name FROM positions p WHERE {handlers} AND p.position > (
    SELECT coalesce(max(m.position), -1) FROM messages m WHERE m.stream_name = p.stream_name
) ORDER BY p.stream_name LIMIT %s
"""
# Whoever locks a position shares this lock of its handler until the transaction ends.
_EXCLUDE = "SELECT pg_advisory_xact_lock(%s)"

_UNBLOCKED = """
SELECT s.stream_name FROM positions s
JOIN positions l ON l.handler = %s AND l.stream_name = s.stream_name
WHERE s.handler = %s AND l.blocked AND s.position > l.position ORDER BY s.stream_name
"""
_TAKE_OVER = """
INSERT INTO positions (handler, stream_name, position, blocked)
SELECT %s, s.stream_name, s.position, s.blocked FROM positions s
LEFT JOIN positions l ON l.handler = %s AND l.stream_name = s.stream_name
WHERE s.handler = %s AND s.position > coalesce(l.position, -1)
ON CONFLICT (handler, stream_name) DO UPDATE SET position = excluded.position, blocked = excluded.blocked
"""
_FORGET = "DELETE FROM positions WHERE handler = %s"

_BEHIND = """
SELECT count(*), min(m.time) FROM messages m
LEFT JOIN positions p ON p.handler = %s AND p.stream_name = m.stream_name
WHERE {categories} AND {types} AND m.position > coalesce(p.position, -1)
"""
_BLOCKED = "SELECT count(*) FROM positions WHERE handler = %s AND blocked"


class SqlRebuilding:
    """`Rebuilding` in SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def under_way(self) -> list[UnderWay]:
        return [
            UnderWay(
                projection=projection,
                shadow=shadow,
                token=token,
                cursor=cursor,
                done=done,
                total=total,
                begun_at=moments.from_column(begun_at),
                stepped_at=moments.from_column(stepped_at),
            )
            for projection, shadow, token, cursor, done, total, begun_at, stepped_at in self._session.fetch(_UNDER_WAY)
        ]

    def begin(self, rebuild: UnderWay) -> None:
        moments_ = moments.to_text(rebuild.begun_at), moments.to_text(rebuild.stepped_at)
        counts = rebuild.cursor, rebuild.done, rebuild.total
        self._session.send(_BEGIN, (rebuild.projection, rebuild.shadow, rebuild.token, *counts, *moments_))

    def hold(self, projection: str, token: str) -> bool:
        return self._touched(_HOLD, (projection, token)) == 1

    def step(self, rebuild: UnderWay) -> None:
        counts = rebuild.cursor, rebuild.done, rebuild.total
        self._session.send(_STEP, (*counts, moments.to_text(rebuild.stepped_at), rebuild.projection, rebuild.token))

    def end(self, projection: str, token: str) -> None:
        self._session.send(_END, (projection, token))

    def count(self, categories: Collection[str]) -> int:
        wanted = among("stream_category", categories, postgresql=self._session.postgresql)
        sql = f"SELECT count(*) FROM messages WHERE {wanted.sql}"  # noqa: S608 -- our own column's name
        return int(self._session.fetch(sql, wanted.values)[0][0])

    def head(self) -> int:
        return int(self._session.fetch(_HEAD)[0][0])

    def read(self, categories: Collection[str], after: int, upto: int, limit: int) -> list[Message]:
        if not categories:
            return []
        sql = " UNION ALL ".join(_CATEGORY for _ in categories)
        values = [value for category in categories for value in (category, after, upto, limit)]
        rows = self._session.fetch(f"{sql} ORDER BY global_position LIMIT %s", (*values, limit))
        return [codec.message(*row) for row in rows]

    def incomplete(self, categories: Collection[str], handlers: Collection[str], limit: int) -> list[str]:
        wanted = among("stream_category", categories, postgresql=self._session.postgresql)
        found = self._names(_GAPS.format(categories=wanted.sql), (*wanted.values, limit))
        mine = among("p.handler", handlers, postgresql=self._session.postgresql)
        found += self._names(_APPLIED_AND_GONE.format(handlers=mine.sql), (*mine.values, limit))
        return list(dict.fromkeys(found))[:limit]

    def exclude(self, handlers: Collection[str], seconds: float) -> None:
        if not self._session.postgresql:
            self._session.fetch(_HEAD)  # the transaction itself is the lock, from its first statement on
            return
        wait_at_most(self._session, seconds)
        for handler in sorted(handlers):
            self._session.fetch(_EXCLUDE, (handler_key(handler),))

    def unblocked(self, handler: str, stand_in: str) -> list[str]:
        return self._names(_UNBLOCKED, (handler, stand_in))

    def take_over(self, handler: str, stand_in: str) -> int:
        return self._touched(_TAKE_OVER, (handler, handler, stand_in))

    def forget(self, stand_in: str) -> None:
        self._session.send(_FORGET, (stand_in,))

    def exchange(self, table: Table, shadow: Table, seconds: float) -> None:
        declared = {new.name: old.name for old, new in zip(table.indexes, shadow.indexes, strict=True)}
        exchange(self._session, table.name, shadow.name, declared, seconds)

    def behind(self, interest: Interest) -> Behind:
        postgresql = self._session.postgresql
        categories = among("m.stream_category", interest.categories, postgresql=postgresql)
        types = among("m.type", interest.types, postgresql=postgresql)
        sql = _BEHIND.format(categories=categories.sql, types=types.sql)
        events, oldest = self._session.fetch(sql, (interest.handler, *categories.values, *types.values))[0]
        blocked = self._session.fetch(_BLOCKED, (interest.handler,))[0][0]
        return Behind(events, oldest and moments.from_column(oldest), blocked)

    def _names(self, sql: str, values: tuple[Any, ...]) -> list[str]:
        return [name for (name,) in self._session.fetch(sql, values)]

    def _touched(self, sql: str, values: tuple[Any, ...]) -> int:
        return self._session.counts([(sql, values)])[0]
