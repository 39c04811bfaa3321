"""What the database knows of each lane of a broker: its epoch, its count, and what it has lost."""

from __future__ import annotations

from collections.abc import Collection
from uuid import uuid4

from protean.adapters.sql import moments
from protean.adapters.sql.committing import committing
from protean.adapters.sql.engine import Engine
from protean.clock import utc_now
from protean.ports.recovery import LaneState

_OPEN = """
INSERT INTO lanes (target_broker, lane, epoch, published) VALUES (%s, %s, %s, 0) ON CONFLICT DO NOTHING
"""
_LANES = "SELECT lane, epoch, published, lost_at, lost_why FROM lanes WHERE target_broker = %s ORDER BY lane"
# The latest moment: a loss that is found while another is made good must outlive that one's end. The first reason:
# what follows from a loss (no group, no count) says less than what showed it.
_LOSE = """
UPDATE lanes SET lost_at = {now}, lost_why = coalesce(lost_why, %s)
WHERE target_broker = %s AND lane = %s AND (CAST(%s AS text) IS NULL OR epoch = %s)
"""
_LOSE_POSTGRESQL = _LOSE.format(now="clock_timestamp()")
_LOSE_SQLITE = _LOSE.format(now="%s")
_WHETHER_LOST = "SELECT lost_at IS NOT NULL FROM lanes WHERE target_broker = %s AND lane = %s"


class SqlLaneLedger:
    """`LaneLedger` in SQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open_lanes(self, broker: str, lanes: Collection[str]) -> None:
        with committing(self._engine) as transaction:
            transaction.counts([(_OPEN, (broker, lane, uuid4().hex)) for lane in sorted(lanes)])

    def lanes(self, broker: str) -> list[LaneState]:
        return [
            LaneState(broker, lane, epoch, published, lost_at and moments.from_column(lost_at), why)
            for lane, epoch, published, lost_at, why in self._engine.once(_LANES, (broker,))
        ]

    def lose(self, broker: str, lane: str, why: str, epoch: str | None = None) -> bool:
        with committing(self._engine) as transaction:
            transaction.counts([(_OPEN, (broker, lane, uuid4().hex))])
            known = transaction.fetch(_WHETHER_LOST, (broker, lane))[0][0]
            values = (why, broker, lane, epoch, epoch)
            if self._engine.postgresql:
                touched = transaction.counts([(_LOSE_POSTGRESQL, values)])[0]
            else:
                touched = transaction.counts([(_LOSE_SQLITE, (moments.to_text(utc_now()), *values))])[0]
        return bool(touched and not known)
