"""Keys that commands were processed under."""

from __future__ import annotations

from datetime import datetime

from protean.adapters.sql import moments
from protean.adapters.sql.session import Session
from protean.clock import utc_now
from protean.ports.idempotency import Keyed

# A conflict waits for the other transaction: it commits, and the key is taken, or it rolls back, and is free.
_TAKE = """
INSERT INTO idempotency_keys (domain, key, type, digest, first_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (domain, key) DO NOTHING
RETURNING key
"""
# A statement of its own: its snapshot is younger than the commit that the conflict has waited for.
_FIRST = "SELECT type, digest, first_at, result FROM idempotency_keys WHERE domain = %s AND key = %s"
_KEEP = "UPDATE idempotency_keys SET result = %s WHERE domain = %s AND key = %s"
_PRUNE = """
DELETE FROM idempotency_keys WHERE (domain, key) IN (
    SELECT domain, key FROM idempotency_keys WHERE first_at < %s ORDER BY first_at LIMIT %s
)
"""


class SqlIdempotencyKeys:
    """`IdempotencyKeys` in SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def take(self, domain: str, key: str, command_type: str, digest: str) -> Keyed | None:
        while True:  # once more when the row was pruned between the two statements
            now = moments.to_text(utc_now())
            if self._session.fetch(_TAKE, (domain, key, command_type, digest, now)):
                return None
            for type_, kept_digest, first_at, result in self._session.fetch(_FIRST, (domain, key)):
                return Keyed(type_, kept_digest, moments.from_column(first_at), result)

    def keep(self, domain: str, key: str, result: str) -> None:
        self._session.send(_KEEP, (result, domain, key))

    def prune(self, first_before: datetime, limit: int) -> int:
        return self._session.counts([(_PRUNE, (moments.to_text(first_before), limit))])[0]
