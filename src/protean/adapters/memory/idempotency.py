"""Keys that commands were processed under, in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from protean.adapters.memory.session import Session
from protean.clock import utc_now
from protean.ports.idempotency import Keyed


class MemoryIdempotencyKeys:
    """`IdempotencyKeys` in memory: whoever takes one holds the store, as in SQLite."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def take(self, domain: str, key: str, command_type: str, digest: str) -> Keyed | None:
        keys = self._session.changing().idempotency_keys
        first = keys.get((domain, key))
        if first is None:
            keys[domain, key] = Keyed(command_type, digest, utc_now())
        return first

    def keep(self, domain: str, key: str, result: str) -> None:
        keys = self._session.changing().idempotency_keys
        if (domain, key) in keys:
            keys[domain, key] = replace(keys[domain, key], result=result)

    def prune(self, first_before: datetime, limit: int) -> int:
        keys = self._session.changing().idempotency_keys
        old = sorted((kept.first_at, known) for known, kept in keys.items() if kept.first_at < first_before)[:limit]
        for _, known in old:
            del keys[known]
        return len(old)
