"""Keeping relays from having a batch in hand while something is decided that their marks would contradict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from protean.adapters.sql.committing import committing
from protean.adapters.sql.engine import Engine
from protean.adapters.sql.outbox import LocalLocks, lock_key
from protean.adapters.sql.session import Session
from protean.ports.outbox import Claim

# In this order for everybody: two who exclude the relays of the same lanes must not wait for each other.
_LANES = """
SELECT target_broker, lane FROM lanes WHERE CAST(%s AS text) IS NULL OR target_broker = %s ORDER BY target_broker, lane
"""
_LOCK_LANE = "SELECT pg_advisory_xact_lock(%s)"


@contextmanager
def relays_excluded(engine: Engine, local_locks: LocalLocks, broker: str | None = None) -> Iterator[Session]:
    """A transaction in which no relay has a batch in flight: none of that broker's lanes, without one none at all.

    Rows of one that had would look as if they were still to be published, and be marked a moment later. Waits for the
    batches that are in flight.
    """
    lanes = [Claim(of, lane) for of, lane in engine.once(_LANES, (broker, broker))]
    with ExitStack() as stack:
        if not engine.postgresql:
            for claim in lanes:
                stack.enter_context(local_locks.of(claim.broker, claim.name))
        transaction = stack.enter_context(committing(engine))
        if engine.postgresql:
            for claim in lanes:
                transaction.fetch(_LOCK_LANE, (lock_key(claim),))
        yield transaction
