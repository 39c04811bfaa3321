"""What the pages show of the pipeline at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from protean.ports.control import Pause
from protean.server.lane_report import LaneReport
from protean.server.observatory.history import Percentiles


class Level(StrEnum):
    GOOD = "good"
    BUSY = "busy"  # something is on its way, as it should be
    BAD = "bad"  # somebody should look
    UNKNOWN = "unknown"  # a server does not answer


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence for somebody who has just been woken up."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Alert:
    """What is wrong, and what to do about it; `page` is where to look."""

    level: Level
    text: str
    remedy: str
    page: str


@dataclass(frozen=True, slots=True)
class HandlerFigures:
    """One handler on one stream, over the last minutes."""

    name: str
    exists: bool
    lag: int
    pending: int
    latency: Percentiles | None
    handling: Percentiles | None
    paused: Pause | None = None
    consumers: int = 0


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """One stream of one lane. `rate`: messages handled a second by its busiest handler, over the last whole minute.

    `spark`: the same for each of the last 60 minutes.
    """

    report: LaneReport
    latency: Percentiles | None
    rate: float
    spark: Sequence[float]
    handlers: Sequence[HandlerFigures]


@dataclass(frozen=True, slots=True)
class MinuteFigures:
    """Both lanes in one minute. Rates in messages a second; `p95` of production, end to end, in seconds."""

    at: datetime
    primary: float
    backfill: float
    p95: float | None


@dataclass(frozen=True, slots=True)
class Worker:
    """An engine process with a sign of life."""

    name: str
    lanes: Sequence[str]


@dataclass(frozen=True, slots=True)
class BackfillFigures:
    """All backfill lanes together. `behind`: messages not handled yet; `oldest` the age in seconds of the first.

    `eta` in seconds, at least and at most, at the rate of the last minutes; None before there is one.
    """

    behind: int
    oldest: float | None
    rate: float
    eta: tuple[float, float] | None
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Production:
    """End to end, now and before the backfill that is under way, or the hour before if none is."""

    now: Percentiles | None = None
    before: Percentiles | None = None
    backfill_since: datetime | None = None

    @property
    def slower(self) -> float | None:
        """How many times slower than before, by the 95th percentile."""
        if self.now is None or self.before is None or self.before.p95 <= 0:
            return None
        return self.now.p95 / self.before.p95


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """`errors` says which servers did not answer, and since when: the rest is then as it last was, or empty."""

    at: datetime
    verdict: Verdict
    production: Production = Production()
    backfill: BackfillFigures | None = None
    lanes: Sequence[LaneFigures] = ()
    series: Sequence[MinuteFigures] = ()
    workers: Sequence[Worker] = ()
    alerts: Sequence[Alert] = ()
    errors: Sequence[str] = ()
    failing_since: datetime | None = None
    took: float = field(default=0.0, compare=False)
