"""Keys that commands were processed under, each with its first result: kept where the command's effects are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Keyed:
    """The command that a key belongs to. `digest` stands for its data.

    `result` is what its handler returned, as JSON text; None while the handler is at it in this very transaction.
    """

    type: str
    digest: str
    first_at: datetime
    result: str | None = None


class IdempotencyKeys(Protocol):
    def take(self, domain: str, key: str, command_type: str, digest: str) -> Keyed | None:
        """Take the key for a command about to be processed: None; or the command that has it already.

        Waits for another transaction that has taken the same key: what that one commits is the answer, and
        after its rollback the key is free again.
        """
        ...

    def keep(self, domain: str, key: str, result: str) -> None:
        """Keep the result, a JSON text, under a key that this transaction has taken."""
        ...

    def prune(self, first_before: datetime, limit: int) -> int:
        """Forget at most `limit` keys first taken before that; how many it were. Each may then be taken anew."""
        ...
