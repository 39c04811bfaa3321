"""When processes want to be woken, in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from protean.adapters.memory.session import Session
from protean.ports.timeouts import Timeout


class MemoryTimeouts:
    """`Timeouts` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put(self, timeouts: Sequence[Timeout]) -> None:
        held = self._session.changing().timeouts
        held.update({_place(timeout): replace(timeout, message_id=None) for timeout in timeouts})

    def cancel(self, process: str, key: str, names: Collection[str] | None = None) -> None:
        held = self._session.changing().timeouts
        for place in [*held]:
            if place[:2] == (process, key) and (names is None or place[2] in names):
                del held[place]

    def due(self, processes: Collection[str], until: datetime, limit: int) -> list[Timeout]:
        found = [
            timeout
            for timeout in list(self._session.seen().timeouts.values())
            if timeout.message_id is None and timeout.process in processes and timeout.due_at <= until
        ]
        return sorted(found, key=lambda timeout: (timeout.due_at, *_place(timeout)))[:limit]

    def fire(self, timeout: Timeout, message_id: str) -> bool:
        held = self._session.changing().timeouts
        now = held.get(_place(timeout))
        if now is None or now.message_id is not None or now.due_at != timeout.due_at:
            return False
        held[_place(timeout)] = replace(now, message_id=message_id)
        return True

    def take(self, process: str, key: str, name: str, message_id: str) -> bool:
        held = self._session.changing().timeouts
        now = held.get((process, key, name))
        if now is None or now.message_id != message_id:
            return False
        del held[process, key, name]
        return True


def _place(timeout: Timeout) -> tuple[str, str, str]:
    return timeout.process, timeout.key, timeout.name
