"""When processes want to be woken."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime

from protean.adapters.sql import moments
from protean.adapters.sql.session import Session
from protean.adapters.sql.unhandled import among
from protean.ports.timeouts import Timeout

_COLUMNS = "process, key, name, due_at, priority, correlation_id, causation_id, headers, message_id"
_PUT = f"""
INSERT INTO timeouts ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, NULL)
ON CONFLICT (process, key, name) DO UPDATE SET
    due_at = excluded.due_at, priority = excluded.priority, correlation_id = excluded.correlation_id,
    causation_id = excluded.causation_id, headers = excluded.headers, message_id = NULL
"""  # noqa: S608 -- our own columns' names
_CANCEL = "DELETE FROM timeouts WHERE process = %s AND key = %s"
_DUE = f"SELECT {_COLUMNS} FROM timeouts WHERE message_id IS NULL AND due_at <= %s AND "  # noqa: S608 -- as above
_OLDEST = " ORDER BY due_at, process, key, name LIMIT %s"
_FIRE = """
UPDATE timeouts SET message_id = %s
WHERE process = %s AND key = %s AND name = %s AND due_at = %s AND message_id IS NULL
"""
_TAKE = "DELETE FROM timeouts WHERE process = %s AND key = %s AND name = %s AND message_id = %s"


class SqlTimeouts:
    """`Timeouts` in SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put(self, timeouts: Sequence[Timeout]) -> None:
        if timeouts:
            self._session.counts([(_PUT, _values(timeout)) for timeout in timeouts])

    def cancel(self, process: str, key: str, names: Collection[str] | None = None) -> None:
        if names is None:
            self._session.send(_CANCEL, (process, key))
            return
        these = among("name", names, postgresql=self._session.postgresql)
        self._session.send(f"{_CANCEL} AND {these.sql}", (process, key, *these.values))

    def due(self, processes: Collection[str], until: datetime, limit: int) -> list[Timeout]:
        these = among("process", processes, postgresql=self._session.postgresql)
        values = (moments.to_text(until), *these.values, limit)
        return [
            Timeout(
                process=process,
                key=key,
                name=name,
                due_at=moments.from_column(due_at),
                priority=priority,
                correlation_id=correlation_id,
                causation_id=causation_id,
                headers=json.loads(headers),
                message_id=message_id,
            )
            for (
                process,
                key,
                name,
                due_at,
                priority,
                correlation_id,
                causation_id,
                headers,
                message_id,
            ) in self._session.fetch(f"{_DUE}{these.sql}{_OLDEST}", values)
        ]

    def fire(self, timeout: Timeout, message_id: str) -> bool:
        values = (message_id, timeout.process, timeout.key, timeout.name, moments.to_text(timeout.due_at))
        return self._session.counts([(_FIRE, values)])[0] == 1

    def take(self, process: str, key: str, name: str, message_id: str) -> bool:
        return self._session.counts([(_TAKE, (process, key, name, message_id))])[0] == 1


def _values(timeout: Timeout) -> tuple[str | int, ...]:
    return (
        timeout.process,
        timeout.key,
        timeout.name,
        moments.to_text(timeout.due_at),
        timeout.priority,
        timeout.correlation_id,
        timeout.causation_id,
        json.dumps(timeout.headers),
    )
