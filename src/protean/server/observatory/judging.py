"""The one sentence, and what somebody should look at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from protean.deliver.lanes import Lane
from protean.server.observatory.snapshot import (
    Alert,
    BackfillFigures,
    LaneFigures,
    Level,
    Production,
    Verdict,
    Worker,
)
from protean.wording import counted

#: Production counts as slower from this many times its 95th percentile of before, and from so many seconds on.
SLOWER, NOTICEABLE = 1.5, 0.050
#: Age in seconds from which production's oldest message is late.
LATE = 5.0


def alerts(lanes: Sequence[LaneFigures], workers: Sequence[Worker], production: Production) -> list[Alert]:
    """What is wrong, the worst first."""
    found: list[Alert] = []
    owed = any(not lane.report.drained for lane in lanes)
    if not workers and owed:
        found.append(
            Alert(Level.BAD, "No engine is running, and messages wait", "start it with `protean server`", "workers")
        )
    for lane in lanes:
        found += _of_lane(lane, bool(workers))
    if (times := _slower(production)) is not None:
        found.append(
            Alert(Level.BAD, f"Production takes {times:.1f} times as long as before", "see which handler", "lanes")
        )
    return sorted(found, key=lambda alert: alert.level is not Level.BAD)


def verdict(production: Production, backfill: BackfillFigures | None, found: Sequence[Alert]) -> Verdict:
    """Production first; then how far behind backfill is, and until when."""
    bad = [alert for alert in found if alert.level is Level.BAD]
    behind = _behind(backfill)
    if bad:
        more = f" (and {counted(len(bad) - 1, 'more alert')})" if len(bad) > 1 else ""
        return Verdict(Level.BAD, f"{bad[0].text}{more}{behind}")
    if production.now is None:
        return Verdict(Level.BUSY if backfill else Level.GOOD, f"Production has had nothing to do lately{behind}")
    level = Level.BUSY if backfill is not None and backfill.behind else Level.GOOD
    compared = production.backfill_since is not None and production.before is not None
    said = "Production unaffected" if compared else "Production is well"
    return Verdict(level, f"{said}: p95 {duration(production.now.p95)}{behind}")


def unknown(errors: Sequence[str]) -> Verdict:
    """The verdict while a server does not answer."""
    return Verdict(Level.UNKNOWN, f"Nothing can be said for sure: {errors[0]}")


def trouble(errors: Sequence[str], since: datetime | None) -> str | None:
    """Which server does not answer, and since when; None when all do."""
    if not errors:
        return None
    return errors[0] if since is None else f"{errors[0]}; so it has been since {since:%H:%M:%S} UTC"


def slower_than_before(production: Production) -> str:
    """Whether production is, in words."""
    if production.now is None:
        return "Production has had nothing to do in the last minutes"
    now = duration(production.now.p95)
    if production.before is None:
        return f"p95 {now}; there is no before to compare with yet"
    before = f"{duration(production.before.p95)} before"
    if _slower(production) is not None:
        return f"Production is slower: p95 {now}, {before}"
    return f"Production is not slower: p95 {now}, {before}"


def done_when(backfill: BackfillFigures) -> str:
    """When the backfill will be, in words."""
    if backfill.state == "done":
        return "Backfill is done"
    if backfill.eta is None and backfill.rate > 0:
        return "Backfill has just begun: when it is done can be said in half a minute"
    if backfill.eta is None:
        return "When backfill is done cannot be said: none of it was handled lately"
    return f"Backfill is done in {_about(backfill.eta)}"


def duration(seconds: float) -> str:
    """For people: `4 ms`, `41 s`, `3 min`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.{1 if seconds < 0.00995 else 0}f} ms"
    if seconds < 90:
        return f"{seconds:.{1 if seconds < 9.95 else 0}f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _of_lane(lane: LaneFigures, engines: bool) -> list[Alert]:
    report, found = lane.report, []
    if report.lane is Lane.PRIMARY and report.oldest is not None and report.oldest > LATE:
        text = f"{report.stream}: the oldest message has waited {duration(report.oldest)}"
        found.append(Alert(Level.BAD, text, "see its handlers and their failures", "lanes"))
    if report.dead:
        text = f"{report.stream}: {counted(report.dead, 'dead letter')}"
        found.append(Alert(Level.BAD, text, "mend the cause, then replay, or discard", "dlq"))
    if report.given_up:
        text = f"{report.stream}: the relay gave up on {counted(report.given_up, 'row')} of the outbox"
        found.append(Alert(Level.BAD, text, "see `protean outbox status`", "lanes"))
    if report.waiting:
        text = f"{report.stream}: {counted(report.waiting, 'failure')} will be tried again"
        found.append(Alert(Level.BUSY, text, "see which, and why", "subscriptions"))
    if not report.served and report.length:
        text = f"{report.stream}: {counted(report.length, 'message')} on a lane that is turned off"
        found.append(Alert(Level.BUSY, text, "see `protean lanes status`", "lanes"))
    found += [
        Alert(
            Level.BAD,
            f"{each.name} has no group on {report.stream}",
            "restart the engine: it makes one at its start",
            "subscriptions",
        )
        for each in lane.handlers
        if engines and report.served and not each.exists
    ]
    return found


def _slower(production: Production) -> float | None:
    times, now = production.slower, production.now
    if times is None or now is None or times < SLOWER or now.p95 < NOTICEABLE:
        return None
    return times


def _behind(backfill: BackfillFigures | None) -> str:
    if backfill is None:
        return ""
    if backfill.state == "done":
        return "; backfill is done"
    if not backfill.behind:
        return "; backfill is all but done"
    when = "" if backfill.eta is None else f", {_about(backfill.eta)}"
    return f"; backfill {backfill.behind:,} behind{when}"


def _about(eta: tuple[float, float]) -> str:
    middle = sum(eta) / 2
    return "a moment" if middle < 1.5 else f"about {duration(middle)}"
