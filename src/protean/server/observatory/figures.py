"""From what was read to what is shown: arithmetic only, nothing here asks a server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from protean.deliver.lanes import Lane
from protean.histogram import Histogram
from protean.server.lane_report import LaneReport
from protean.server.observatory.history import History, Percentiles, Recorded, merged
from protean.server.observatory.snapshot import (
    BackfillFigures,
    HandlerFigures,
    LaneFigures,
    MinuteFigures,
    Production,
)

#: Minutes that "now" means. Fewer follow faster and jump more.
RECENT = 3
#: Minutes of a series, and of what "before" is compared with.
SERIES = 60
#: Minutes without backfill after which the next is another backfill.
PAUSE = 5
#: A backfill's end is guessed from its rate, which is never quite the same: this share less and more.
SPREAD = 0.3
#: Seconds that a backfill must have been under way before anybody says when it ends.
EVIDENCE = 30.0


def lane_figures(reports: Sequence[LaneReport], history: History, minute: int) -> list[LaneFigures]:
    """Each lane's report with what the last minutes say about it."""
    recent = _by_stream(history.of(range(minute - RECENT + 1, minute + 1)))
    counts = _counts(history.of(range(minute - SERIES + 1, minute + 1)))
    figures = []
    for report in reports:
        told = recent.get(report.stream, [])
        spark = [_busiest(counts, report.stream, each) / 60.0 for each in range(minute - SERIES + 1, minute + 1)]
        handlers = [
            HandlerFigures(
                group.handler,
                group.exists,
                group.lag,
                group.pending,
                Percentiles.of(merged(each for each in told if each.handler == group.handler)),
                Percentiles.of(_handling(each for each in told if each.handler == group.handler)),
                group.paused,
                group.consumers,
            )
            for group in report.groups
        ]
        figures.append(LaneFigures(report, Percentiles.of(merged(told)), spark[-2], spark, handlers))
    return figures


def series(reports: Sequence[LaneReport], history: History, minute: int) -> list[MinuteFigures]:
    """Both lanes, for each of the last minutes."""
    primary, backfill = _streams(reports, Lane.PRIMARY), _streams(reports, Lane.BACKFILL)
    told = []
    for each in range(minute - SERIES + 1, minute + 1):
        recorded = list(history.of([each]))
        counts = _counts(recorded)
        latency = Percentiles.of(merged(r for r in recorded if r.stream in primary))
        told.append(
            MinuteFigures(
                datetime.fromtimestamp(each * 60, UTC),
                sum(_busiest(counts, stream, each) for stream in primary) / 60.0,
                sum(_busiest(counts, stream, each) for stream in backfill) / 60.0,
                latency.p95 if latency is not None else None,
            )
        )
    return told


def production(reports: Sequence[LaneReport], history: History, minute: int) -> Production:
    """How fast production is, and was before the backfill that is under way."""
    primary, backfill = _streams(reports, Lane.PRIMARY), _streams(reports, Lane.BACKFILL)
    since = _under_way_since(history, backfill, minute)
    until = since if since is not None else minute - RECENT + 1
    now = merged(r for r in history.of(range(minute - RECENT + 1, minute + 1)) if r.stream in primary)
    before = merged(r for r in history.of(range(until - SERIES, until)) if r.stream in primary)
    moment = None if since is None else datetime.fromtimestamp(since * 60, UTC)
    return Production(Percentiles.of(now), Percentiles.of(before), moment)


def backfill(reports: Sequence[LaneReport], history: History, now: float) -> BackfillFigures | None:
    """How far all backfill lanes are; None where nothing has been on them lately. `now`: seconds since the epoch.

    What waits behind dead letters is behind, and not counted on: it waits for a person.
    """
    minute = int(now // 60)
    lanes = [report for report in reports if report.lane is Lane.BACKFILL]
    streams = {report.stream for report in lanes}
    recent = range(minute - RECENT + 1, minute + 1)
    counts = _counts(history.of(recent))
    by_minute = {each: sum(_busiest(counts, stream, each) for stream in streams) for each in recent}
    handled = sum(by_minute.values())
    moving = sum(report.outbox + report.lag + report.waiting for report in lanes)
    blocked = sum(report.blocked for report in lanes)
    pending = sum(report.pending for report in lanes)
    if not moving and not blocked and not pending and not handled:
        return None
    # The running minute is not over, and before the first with anything there was no backfill: neither slows it down.
    first = next((each for each in recent if by_minute[each]), minute)
    seconds = now - first * 60.0
    rate = handled / max(seconds, 1.0)
    oldest = max((report.oldest for report in lanes if report.oldest is not None), default=None)
    if not moving and not blocked and not pending:
        return BackfillFigures(0, None, rate, (0.0, 0.0), "done", "everything on it has been handled")
    told = rate > 0 and seconds >= EVIDENCE
    eta = (moving / rate * (1 - SPREAD), moving / rate * (1 + SPREAD)) if told else None
    state, reason = ("draining", "") if handled else ("waiting", "nothing of it was handled in the last minutes")
    if handled and blocked:
        reason = f"without {blocked:,} behind dead letters, which wait for a decision"
    return BackfillFigures(moving + blocked, oldest, rate, eta, state, reason)


def _under_way_since(history: History, streams: set[str], minute: int) -> int | None:
    """The minute in which the backfill that is under way began; None if none is."""
    since, quiet = None, 0
    for each in range(minute, minute - SERIES * 2, -1):
        if any(r.stream in streams and r.latency.count for r in history.of([each])):
            since, quiet = each, 0
        else:
            quiet += 1
            if quiet > PAUSE:
                break
    return since


def _streams(reports: Sequence[LaneReport], lane: Lane) -> set[str]:
    return {report.stream for report in reports if report.lane is lane}


def _by_stream(recorded: Iterable[Recorded]) -> dict[str, list[Recorded]]:
    found = defaultdict(list)
    for each in recorded:
        found[each.stream].append(each)
    return found


def _handling(recorded: Iterable[Recorded]) -> Histogram:
    histogram = Histogram()
    for each in recorded:
        histogram.merge(each.handling)
    return histogram


def _counts(recorded: Iterable[Recorded]) -> dict[tuple[str, int], dict[str, int]]:
    """Messages handled, by stream and minute, and then by handler."""
    found: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for each in recorded:
        found[each.stream, each.minute][each.handler] += each.handling.count
    return found


def _busiest(counts: dict[tuple[str, int], dict[str, int]], stream: str, minute: int) -> int:
    """Messages of the stream in that minute: every handler is given all of them, so the busiest tells."""
    return max(counts.get((stream, minute), {}).values(), default=0)
