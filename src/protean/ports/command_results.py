"""What asynchronous commands have returned: kept with their effects, for whoever asks later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class KeptResult:
    """What a handler returned, as JSON text, and when that was."""

    result: str
    finished_at: datetime


class CommandResults(Protocol):
    def keep(self, command_id: str, result: str) -> None:
        """Keep the result, a JSON text, of a command handled in this transaction."""
        ...

    def find(self, command_id: str) -> KeptResult | None:
        """The result of that command, if it is there (still)."""
        ...

    def prune(self, finished_before: datetime, limit: int) -> int:
        """Forget at most `limit` results older than that, the oldest first; how many it were."""
        ...
