"""What people have decided, and what was done by whom, in memory."""

from __future__ import annotations

from datetime import datetime

from protean.adapters.memory.session import Session
from protean.ports.control import Operation, Pause


class MemoryControl:
    """`Control` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def pause(self, pause: Pause) -> None:
        self._session.changing().pauses[pause.handler, pause.lane] = pause

    def resume(self, handler: str, lane: str) -> bool:
        held = self._session.changing().pauses
        if (handler, lane) not in held:
            return False
        del held[handler, lane]
        return True

    def pauses(self) -> list[Pause]:
        return [pause for _, pause in sorted(self._session.seen().pauses.items())]

    def record(self, operation: Operation) -> None:
        self._session.changing().operations[operation.id] = operation

    def operation(self, operation_id: str) -> Operation | None:
        return self._session.seen().operations.get(operation_id)

    def operations(self, limit: int, before: datetime | None = None) -> list[Operation]:
        found = [
            operation
            for operation in list(self._session.seen().operations.values())
            if before is None or operation.started_at < before
        ]
        return sorted(found, key=lambda operation: (-operation.started_at.timestamp(), operation.id))[:limit]

    def prune(self, before: datetime, limit: int) -> int:
        contents = self._session.changing()
        old = sorted(
            (operation for operation in contents.operations.values() if operation.started_at < before),
            key=lambda operation: operation.started_at,
        )[:limit]
        for operation in old:
            del contents.operations[operation.id]
        for key in [key for key, pause in contents.pauses.items() if pause.expires_at < before]:
            del contents.pauses[key]
        return len(old)
