"""What asynchronous commands have returned."""

from __future__ import annotations

from datetime import datetime

from protean.adapters.sql import moments
from protean.adapters.sql.session import Session
from protean.clock import utc_now
from protean.ports.command_results import KeptResult

_KEEP = "INSERT INTO command_results (command_id, result, finished_at) VALUES (%s, %s, %s)"
_FIND = "SELECT result, finished_at FROM command_results WHERE command_id = %s"
_PRUNE = """
DELETE FROM command_results WHERE command_id IN (
    SELECT command_id FROM command_results WHERE finished_at < %s ORDER BY finished_at LIMIT %s
)
"""


class SqlCommandResults:
    """`CommandResults` in SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def keep(self, command_id: str, result: str) -> None:
        self._session.send(_KEEP, (command_id, result, moments.to_text(utc_now())))

    def find(self, command_id: str) -> KeptResult | None:
        for result, finished_at in self._session.fetch(_FIND, (command_id,)):
            return KeptResult(result, moments.from_column(finished_at))
        return None

    def prune(self, finished_before: datetime, limit: int) -> int:
        return self._session.counts([(_PRUNE, (moments.to_text(finished_before), limit))])[0]
