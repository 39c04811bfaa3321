"""What asynchronous commands have returned, in memory."""

from __future__ import annotations

from datetime import datetime

from protean.adapters.memory.session import Session
from protean.clock import utc_now
from protean.ports.command_results import KeptResult


class MemoryCommandResults:
    """`CommandResults` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def keep(self, command_id: str, result: str) -> None:
        self._session.changing().command_results[command_id] = KeptResult(result, utc_now())

    def find(self, command_id: str) -> KeptResult | None:
        return self._session.seen().command_results.get(command_id)

    def prune(self, finished_before: datetime, limit: int) -> int:
        results = self._session.changing().command_results
        old = sorted((kept.finished_at, known) for known, kept in results.items() if kept.finished_at < finished_before)
        for _, known in old[:limit]:
            del results[known]
        return len(old[:limit])
