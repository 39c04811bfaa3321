"""What handlers that are gone have left in the database, and removing it."""

from __future__ import annotations

from datetime import datetime

from protean.adapters.sql import moments
from protean.adapters.sql.committing import committing
from protean.adapters.sql.engine import Engine
from protean.ports.recovery import Remains

_REMAINS = """
SELECT (SELECT count(*) FROM positions WHERE handler = %s), (SELECT count(*) FROM inbox WHERE handler = %s),
       (SELECT count(*) FROM failures WHERE handler = %s)
"""
# Locked until the transaction ends: an engine that starts with the handler waits, and registers it anew.
_UNSEEN = "SELECT count(*), max(seen_at) FROM (SELECT seen_at FROM handlers WHERE name = %s {locking}) AS registered"
_DELETE_SOME = (
    """
DELETE FROM positions WHERE handler = %s
  AND stream_name IN (SELECT stream_name FROM positions WHERE handler = %s LIMIT %s)
""",
    """
DELETE FROM inbox WHERE handler = %s AND message_id IN (SELECT message_id FROM inbox WHERE handler = %s LIMIT %s)
""",
    """
DELETE FROM failures WHERE handler = %s
  AND message_id IN (SELECT message_id FROM failures WHERE handler = %s LIMIT %s)
""",
)
_UNREGISTER = "DELETE FROM handlers WHERE name = %s"


class SqlRetiring:
    """`Retiring` in SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def remains(self, handler: str) -> Remains:
        return Remains(*self._engine.once(_REMAINS, (handler,) * 3)[0])

    def remove(self, handler: str, unseen_since: datetime, limit: int) -> int | None:
        locking = "FOR UPDATE" if self._engine.postgresql else ""
        with committing(self._engine) as transaction:
            registered, seen_at = transaction.fetch(_UNSEEN.format(locking=locking), (handler,))[0]
            if registered and moments.from_column(seen_at) >= unseen_since:
                return None
            removed = sum(transaction.counts([(sql, (handler, handler, limit)) for sql in _DELETE_SOME]))
            if not removed:
                transaction.send(_UNREGISTER, (handler,))
        return removed
