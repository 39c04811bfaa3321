"""What people have decided, and what was done by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from protean.adapters.sql import moments
from protean.adapters.sql.session import Session
from protean.ports.control import Operation, OperationState, Pause

_PAUSE = """
INSERT INTO pauses (handler, lane, reason, actor, paused_at, expires_at) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (handler, lane) DO UPDATE SET
    reason = excluded.reason, actor = excluded.actor, paused_at = excluded.paused_at, expires_at = excluded.expires_at
"""
_RESUME = "DELETE FROM pauses WHERE handler = %s AND lane = %s"
_PAUSES = "SELECT handler, lane, reason, actor, paused_at, expires_at FROM pauses ORDER BY handler, lane"
_COLUMNS = "id, kind, actor, target, reason, state, done, total, result, error, started_at, told_at"
_RECORD = f"""
INSERT INTO operations ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET
    state = excluded.state, done = excluded.done, total = excluded.total, result = excluded.result,
    error = excluded.error, told_at = excluded.told_at
"""  # noqa: S608 -- our own columns' names
_ONE = f"SELECT {_COLUMNS} FROM operations WHERE id = %s"  # noqa: S608 -- as above
_NEWEST = f"SELECT {_COLUMNS} FROM operations ORDER BY started_at DESC, id LIMIT %s"  # noqa: S608 -- as above
_BEFORE = f"""
SELECT {_COLUMNS} FROM operations WHERE started_at < %s ORDER BY started_at DESC, id LIMIT %s
"""  # noqa: S608 -- as above
_PRUNE = """
DELETE FROM operations WHERE id IN (SELECT id FROM operations WHERE started_at < %s ORDER BY started_at LIMIT %s)
"""
_PRUNE_PAUSES = "DELETE FROM pauses WHERE expires_at < %s"


class SqlControl:
    """`Control` in SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def pause(self, pause: Pause) -> None:
        moment = moments.to_text
        times = (moment(pause.paused_at), moment(pause.expires_at))
        self._session.send(_PAUSE, (pause.handler, pause.lane, pause.reason, pause.actor, *times))

    def resume(self, handler: str, lane: str) -> bool:
        return self._session.counts([(_RESUME, (handler, lane))])[0] == 1

    def pauses(self) -> list[Pause]:
        return [
            Pause(
                handler=handler,
                lane=lane,
                reason=reason,
                actor=actor,
                paused_at=moments.from_column(paused_at),
                expires_at=moments.from_column(expires_at),
            )
            for handler, lane, reason, actor, paused_at, expires_at in self._session.fetch(_PAUSES)
        ]

    def record(self, operation: Operation) -> None:
        self._session.send(_RECORD, _values(operation))

    def operation(self, operation_id: str) -> Operation | None:
        for row in self._session.fetch(_ONE, (operation_id,)):
            return _operation(row)
        return None

    def operations(self, limit: int, before: datetime | None = None) -> list[Operation]:
        if before is None:
            return [_operation(row) for row in self._session.fetch(_NEWEST, (limit,))]
        return [_operation(row) for row in self._session.fetch(_BEFORE, (moments.to_text(before), limit))]

    def prune(self, before: datetime, limit: int) -> int:
        moment = moments.to_text(before)
        return self._session.counts([(_PRUNE, (moment, limit)), (_PRUNE_PAUSES, (moment,))])[0]


def _values(operation: Operation) -> tuple[str | int, ...]:
    return (
        operation.id,
        operation.kind,
        operation.actor,
        operation.target,
        operation.reason,
        operation.state.value,
        operation.done,
        operation.total,
        operation.result,
        operation.error,
        moments.to_text(operation.started_at),
        moments.to_text(operation.told_at),
    )


def _operation(row: Any) -> Operation:
    operation_id, kind, actor, target, reason, state, done, total, result, error, started_at, told_at = row
    return Operation(
        id=operation_id,
        kind=kind,
        actor=actor,
        target=target,
        reason=reason,
        state=OperationState(state),
        done=done,
        total=total,
        result=result,
        error=error,
        started_at=moments.from_column(started_at),
        told_at=moments.from_column(told_at),
    )
