"""The log of messages, and the outbox rows that are written with it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from protean import codec
from protean.adapters.sql import moments
from protean.adapters.sql.errors import PositionTakenError
from protean.adapters.sql.session import Session
from protean.adapters.values import checked_json, with_points
from protean.exceptions import ExpectedVersionError
from protean.message import Message, NewMessage
from protean.ports.log import LogFilter

# One message: the whole append is one statement, its position read from the index of the stream. The caller
# holds the aggregate's row, so that nobody else can be between reading and writing this stream's last one; or it
# says where the stream ends, and the unique index waits for whoever is writing the same position and refuses it.
_APPEND_ONE = """
WITH logged AS (
    INSERT INTO messages (message_id, stream_name, position, stream_category, type, kind, data, metadata, time)
    VALUES (%s, %s, coalesce(%s::bigint, (SELECT max(position) FROM messages WHERE stream_name = %s), -1) + 1,
            %s, %s, %s, %s, %s, %s)
    RETURNING global_position, message_id, stream_category, type
)
INSERT INTO outbox (message_id, global_position, stream_name, type, priority, target_broker)
SELECT message_id, global_position, stream_category, type, %s, %s FROM logged
"""

# Many messages: `nth` is the given order. INSERT … SELECT … ORDER BY allocates identities in that order (which
# RETURNING does not promise to keep), so global positions follow it, and the outbox's ids follow those.
_APPEND_MANY = """
WITH given AS (
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::jsonb[], %s::jsonb[],
                         %s::timestamptz[], %s::int[], %s::bigint[])
    WITH ORDINALITY
    AS n (message_id, stream_name, stream_category, type, kind, data, metadata, time, priority, head, nth)
), logged AS (
    INSERT INTO messages (message_id, stream_name, position, stream_category, type, kind, data, metadata, time)
    SELECT message_id, stream_name,
           coalesce(head, (SELECT max(m.position) FROM messages m WHERE m.stream_name = given.stream_name), -1)
               + row_number() OVER (PARTITION BY stream_name ORDER BY nth),
           stream_category, type, kind, data, metadata, time
    FROM given ORDER BY nth
    RETURNING global_position, message_id, stream_category, type
)
INSERT INTO outbox (message_id, global_position, stream_name, type, priority, target_broker)
SELECT logged.message_id, logged.global_position, logged.stream_category, logged.type, given.priority, broker
FROM logged JOIN given USING (message_id), (SELECT %s::text AS broker) AS target
WHERE broker IS NOT NULL
ORDER BY logged.global_position
"""

# SQLite has no INSERT inside WITH: two statements per message, in one transaction that nobody else can be in.
_APPEND_MESSAGE = """
INSERT INTO messages (message_id, stream_name, position, stream_category, type, kind, data, metadata, time)
VALUES (%s, %s, coalesce(%s, (SELECT max(position) FROM messages WHERE stream_name = %s), -1) + 1,
        %s, %s, %s, %s, %s, %s)
"""
_APPEND_OUTBOX = """
INSERT INTO outbox (message_id, global_position, stream_name, type, priority, target_broker)
VALUES (%s, last_insert_rowid(), %s, %s, %s, %s)
"""

_READ = """
SELECT CAST(data AS text), CAST(metadata AS text), position, global_position FROM messages
WHERE stream_name = %s AND position > %s ORDER BY position LIMIT %s
"""
# Two that append to several streams each, in different orders, would wait for each other.
_IN_ORDER = """
SELECT pg_advisory_xact_lock(key)
FROM (SELECT DISTINCT hashtextextended(name, 4711) AS key FROM unnest(%s::text[]) AS name ORDER BY key) AS ordered
"""

_SEARCH = """
SELECT CAST(data AS text), CAST(metadata AS text), position, global_position FROM messages
WHERE {condition} ORDER BY global_position LIMIT %s
"""
_CORRELATION = {True: "metadata ->> 'correlation_id'", False: "json_extract(metadata, '$.correlation_id')"}
# By the index of streams, which has each stream's beginning once.
_STREAMS = """
SELECT stream_name FROM messages WHERE stream_name > %s AND position = 0 AND stream_category = %s
ORDER BY stream_name LIMIT %s
"""
_HEAD = "SELECT coalesce(max(position), -1) FROM messages WHERE stream_name = %s"
_FIND_POSTGRESQL = """
SELECT data::text, metadata::text, position, global_position FROM messages
WHERE message_id = ANY(%s::uuid[]) ORDER BY global_position
"""
_FIND_SQLITE = """
SELECT data, metadata, position, global_position FROM messages
WHERE message_id IN (SELECT value FROM json_each(%s)) ORDER BY global_position
"""
_BEHIND = """
SELECT CAST(m.message_id AS text),
       (SELECT max(later.position) FROM messages later WHERE later.stream_name = m.stream_name) - m.position
FROM messages m WHERE m.message_id {}
"""
_BEHIND_POSTGRESQL = _BEHIND.format("= ANY(%s::uuid[])")
_BEHIND_SQLITE = _BEHIND.format("IN (SELECT value FROM json_each(%s))")


class SqlLog:
    """`Log` in SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(
        self, messages: Sequence[NewMessage], broker: str | None, expected: Mapping[str, int] | None = None
    ) -> None:
        for message in messages:
            checked_json(message.data, f"the data of {message.type} {message.id}")
            checked_json(message.metadata, f"the metadata of {message.type} {message.id}")
        heads = dict(expected or {})
        try:
            if not self._session.postgresql:
                self._append_one_by_one(messages, broker, heads)
            elif len(messages) == 1 and broker is not None:
                self._session.send(_APPEND_ONE, (*_logged(messages[0], heads), messages[0].priority, broker))
            elif messages:
                if len(heads) > 1:
                    self._session.fetch(_IN_ORDER, (list(heads),))
                columns = zip(*((*_given(each), heads.get(each.stream_name)) for each in messages), strict=True)
                self._session.send(_APPEND_MANY, (*map(list, columns), broker))
        except PositionTakenError as error:
            if (name := _continued(error, heads)) is None:
                raise
            raise _conflict(name, heads) from error

    def read(self, stream_name: str, after: int, limit: int) -> list[Message]:
        return self._messages(_READ, (stream_name, after, limit))

    def head(self, stream_name: str) -> int:
        return int(self._session.fetch(_HEAD, (stream_name,))[0][0])

    def behind(self, message_ids: Collection[str]) -> Mapping[str, int]:
        ids = list(message_ids)
        if self._session.postgresql:
            return dict(self._session.fetch(_BEHIND_POSTGRESQL, (ids,)))
        return dict(self._session.fetch(_BEHIND_SQLITE, (json.dumps(ids),)))

    def search(self, which: LogFilter, limit: int) -> list[Message]:
        conditions = _conditions(which, _CORRELATION[self._session.postgresql])
        values = [value for _, given in conditions for value in given]
        sql = _SEARCH.format(condition=" AND ".join(sql for sql, _ in conditions))
        return self._messages(sql, (*values, limit))

    def streams(self, category: str, after: str, limit: int) -> list[str]:
        return [name for (name,) in self._session.fetch(_STREAMS, (after, category, limit))]

    def find(self, message_ids: Collection[str]) -> list[Message]:
        ids = list(message_ids)
        if self._session.postgresql:
            return self._messages(_FIND_POSTGRESQL, (ids,))
        return self._messages(_FIND_SQLITE, (json.dumps(ids),))

    def _append_one_by_one(self, messages: Sequence[NewMessage], broker: str | None, heads: Mapping[str, int]) -> None:
        ends = dict(heads)
        for message in messages:
            try:
                self._session.send(_APPEND_MESSAGE, _logged(message, ends))
            except PositionTakenError as error:
                raise _conflict(message.stream_name, heads) from error  # others are counted under the write lock
            if message.stream_name in ends:
                ends[message.stream_name] += 1
            if broker is not None:
                values = (message.id, message.category, message.type, message.priority, broker)
                self._session.send(_APPEND_OUTBOX, values)

    def _messages(self, sql: str, values: Sequence[Any]) -> list[Message]:
        return [codec.message(*row) for row in self._session.fetch(sql, values)]


def _logged(message: NewMessage, heads: Mapping[str, int]) -> tuple[Any, ...]:
    """A message's columns in the log; the stream's name stands twice, the second time to find its position."""
    id_, stream_name, *others, _ = _given(message)
    return id_, stream_name, heads.get(stream_name), stream_name, *others


def _continued(error: PositionTakenError, heads: Mapping[str, int]) -> str | None:
    """Which of these streams the error of PostgreSQL is about; None if none is."""
    detail = getattr(getattr(error.__cause__, "diag", None), "message_detail", None) or ""
    return next((name for name in heads if f"=({name}, " in detail), None)


def _conflict(name: str, heads: Mapping[str, int]) -> ExpectedVersionError:
    return ExpectedVersionError(f"somebody else has continued the stream {name} behind {heads.get(name)}", name)


def _given(message: NewMessage) -> tuple[Any, ...]:
    return (
        message.id,
        message.stream_name,
        message.category,
        message.type,
        message.kind.value,
        with_points(message.data),
        with_points(message.metadata),
        moments.to_text(message.time),
        message.priority,
    )


def _conditions(which: LogFilter, correlation_id: str) -> list[tuple[str, tuple[Any, ...]]]:
    """What of the filter is set, as SQL with its values."""
    conditions: list[tuple[str, tuple[Any, ...]]] = [("global_position > %s", (which.after,))]
    if which.upto is not None:
        conditions.append(("global_position <= %s", (which.upto,)))
    for column, names in (("stream_category", which.categories), ("type", which.types)):
        if names is not None:
            conditions.append((f"{column} IN ({', '.join(['%s'] * len(names)) or 'NULL'})", names))
    if which.correlation_id is not None:
        conditions.append((f"{correlation_id} = %s", (which.correlation_id,)))
    if which.since is not None:
        conditions.append(("time >= %s", (moments.to_text(which.since),)))
    if which.until is not None:
        conditions.append(("time < %s", (moments.to_text(which.until),)))
    return conditions
