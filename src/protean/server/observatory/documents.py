"""The JSON of the API: what the pages, and programs, are told. Durations in names that end in `_ms` or `_s`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from protean.ports.control import Pause
from protean.server.observatory import judging
from protean.server.observatory.history import Percentiles
from protean.server.observatory.snapshot import HandlerFigures, LaneFigures, MinuteFigures, Snapshot


class Document(BaseModel):
    """Nothing but what is declared goes out."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class VerdictDocument(Document):
    level: str
    text: str


class AlertDocument(Document):
    level: str
    text: str
    remedy: str
    page: str


class PercentilesDocument(Document):
    """Of `count` messages."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def of(cls, percentiles: Percentiles | None) -> PercentilesDocument | None:
        if percentiles is None:
            return None
        return cls(
            count=percentiles.count,
            p50_ms=round(percentiles.p50 * 1000, 2),
            p95_ms=round(percentiles.p95 * 1000, 2),
            p99_ms=round(percentiles.p99 * 1000, 2),
        )


class ProductionDocument(Document):
    """End to end: from the outbox to the handler's end. `before`: ahead of the backfill that is under way.

    `answer`: whether it is slower than before, in words.
    """

    answer: str
    now: PercentilesDocument | None
    before: PercentilesDocument | None
    times_slower: float | None
    backfill_since: datetime | None


class BackfillDocument(Document):
    """State, reason and ETA are three things. `eta_s`: at least and at most, null before there is a rate.

    `answer`: when it will be done, in words.
    """

    answer: str
    behind: int
    oldest_s: float | None
    rate: float
    state: str
    reason: str
    eta_s: tuple[float, float] | None


class MinuteDocument(Document):
    at: datetime
    primary_rate: float
    backfill_rate: float
    primary_p95_ms: float | None

    @classmethod
    def of(cls, minute: MinuteFigures) -> MinuteDocument:
        return cls(
            at=minute.at,
            primary_rate=round(minute.primary, 3),
            backfill_rate=round(minute.backfill, 3),
            primary_p95_ms=None if minute.p95 is None else round(minute.p95 * 1000, 2),
        )


class ThroughputDocument(Document):
    """Messages a second over the last whole minute."""

    primary: float
    backfill: float


class OverviewDocument(Document):
    """`trouble`: since when which server has not answered, and the figures have been as they were."""

    at: datetime
    errors: list[str]
    trouble: str | None
    verdict: VerdictDocument
    production: ProductionDocument
    throughput: ThroughputDocument
    backfill: BackfillDocument | None
    alerts: list[AlertDocument]
    series: list[MinuteDocument]


class PauseDocument(Document):
    reason: str
    actor: str
    expires_at: datetime

    @classmethod
    def of(cls, pause: Pause | None) -> PauseDocument | None:
        return None if pause is None else cls(reason=pause.reason, actor=pause.actor, expires_at=pause.expires_at)


class HandlerDocument(Document):
    """`paused`: who has it rest on this lane, why and until when; null while it works."""

    name: str
    exists: bool
    lag: int
    pending: int
    latency: PercentilesDocument | None
    handling: PercentilesDocument | None
    paused: PauseDocument | None
    consumers: int

    @classmethod
    def of(cls, handler: HandlerFigures) -> HandlerDocument:
        return cls(
            name=handler.name,
            exists=handler.exists,
            lag=handler.lag,
            pending=handler.pending,
            latency=PercentilesDocument.of(handler.latency),
            handling=PercentilesDocument.of(handler.handling),
            paused=PauseDocument.of(handler.paused),
            consumers=handler.consumers,
        )


class LaneDocument(Document):
    """One stream of one lane. `drained`: everything that was committed for it has been handled."""

    stream: str
    category: str
    lane: str
    served: bool
    outbox: int
    given_up: int
    length: int
    lag: int
    pending: int
    oldest_s: float | None
    waiting: int
    blocked: int
    blocked_at_least: bool
    dead: int
    drained: bool
    latency: PercentilesDocument | None
    rate: float
    spark: list[float]
    handlers: list[HandlerDocument]

    @classmethod
    def of(cls, lane: LaneFigures) -> LaneDocument:
        report = lane.report
        return cls(
            stream=report.stream,
            category=report.category,
            lane=report.lane.value,
            served=report.served,
            outbox=report.outbox,
            given_up=report.given_up,
            length=report.length,
            lag=report.lag,
            pending=report.pending,
            oldest_s=None if report.oldest is None else round(report.oldest, 3),
            waiting=report.waiting,
            blocked=report.blocked,
            blocked_at_least=report.blocked_at_least,
            dead=report.dead,
            drained=report.drained,
            latency=PercentilesDocument.of(lane.latency),
            rate=round(lane.rate, 3),
            spark=[round(rate, 3) for rate in lane.spark],
            handlers=[HandlerDocument.of(handler) for handler in lane.handlers],
        )


class LanesDocument(Document):
    at: datetime
    errors: list[str]
    lanes: list[LaneDocument]


class WorkerDocument(Document):
    name: str
    lanes: list[str]


class WorkersDocument(Document):
    at: datetime
    errors: list[str]
    workers: list[WorkerDocument]


class LiveDocument(Document):
    """What `/live` sends each second: all of one moment."""

    overview: OverviewDocument
    lanes: LanesDocument
    workers: WorkersDocument


class ErrorDetail(Document):
    code: str
    message: str
    remedy: str


class ErrorDocument(Document):
    """What every refusal looks like."""

    error: ErrorDetail


def overview_of(snapshot: Snapshot) -> OverviewDocument:
    """What the first page shows."""
    production, backfill = snapshot.production, snapshot.backfill
    last = snapshot.series[-2] if len(snapshot.series) > 1 else None
    return OverviewDocument(
        at=snapshot.at,
        errors=list(snapshot.errors),
        trouble=judging.trouble(snapshot.errors, snapshot.failing_since),
        verdict=VerdictDocument(level=snapshot.verdict.level.value, text=snapshot.verdict.text),
        production=ProductionDocument(
            answer=judging.slower_than_before(production),
            now=PercentilesDocument.of(production.now),
            before=PercentilesDocument.of(production.before),
            times_slower=None if production.slower is None else round(production.slower, 2),
            backfill_since=production.backfill_since,
        ),
        throughput=ThroughputDocument(
            primary=round(last.primary, 3) if last is not None else 0.0,
            backfill=round(last.backfill, 3) if last is not None else 0.0,
        ),
        backfill=None
        if backfill is None
        else BackfillDocument(
            answer=judging.done_when(backfill),
            behind=backfill.behind,
            oldest_s=None if backfill.oldest is None else round(backfill.oldest, 1),
            rate=round(backfill.rate, 2),
            state=backfill.state,
            reason=backfill.reason,
            eta_s=backfill.eta,
        ),
        alerts=[
            AlertDocument(level=alert.level.value, text=alert.text, remedy=alert.remedy, page=alert.page)
            for alert in snapshot.alerts
        ],
        series=[MinuteDocument.of(minute) for minute in snapshot.series],
    )


def lanes_of(snapshot: Snapshot) -> LanesDocument:
    """A row a stream."""
    return LanesDocument(
        at=snapshot.at, errors=list(snapshot.errors), lanes=[LaneDocument.of(lane) for lane in snapshot.lanes]
    )


def workers_of(snapshot: Snapshot) -> WorkersDocument:
    """Who serves."""
    workers: Sequence[WorkerDocument] = [
        WorkerDocument(name=worker.name, lanes=list(worker.lanes)) for worker in snapshot.workers
    ]
    return WorkersDocument(at=snapshot.at, errors=list(snapshot.errors), workers=list(workers))


def live_of(snapshot: Snapshot) -> LiveDocument:
    """All that changes from one second to the next."""
    return LiveDocument(overview=overview_of(snapshot), lanes=lanes_of(snapshot), workers=workers_of(snapshot))
