"""What a run showed, what was promised, and whether it held."""

from __future__ import annotations

import os
from dataclasses import dataclass

from protean.cli.demo.lanes import State
from protean.cli.demo.latency import Summary
from protean.cli.demo.verification import Comparison

#: Production was affected when its p99 in the migration is beyond both: so many times idle's, and so many
#: milliseconds. Idle's alone would be too strict a measure, on a machine with other work it is chance; what is
#: below a tenth of a second people take for at once.
TIMES_IDLE = 3.0
MILLISECONDS = 100.0
#: From so many running processes a core on, much of what was measured is other people's work; the demo makes 1.
BUSY = 2.5
#: Up to so many times idle's p99 there is no effect worth the word.
UNAFFECTED = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """`latency` and `http` are by phase; `affected` is the latency over all of migrating and draining."""

    customers: int
    migrated: int
    records_per_s: float
    events_per_s: float
    latency: dict[str, Summary]
    http: dict[str, Summary]
    waiting: Summary
    during: Summary
    lost_requests: int
    load_average: float
    state: State
    comparison: Comparison


def bound(idle_p99: float | None) -> float:
    """The p99 in milliseconds from which on production counts as affected."""
    return max(TIMES_IDLE * (idle_p99 or 0.0), MILLISECONDS)


def broken_promises(findings: Findings) -> list[str]:
    """Those that did not hold, in words."""
    state, comparison = findings.state, findings.comparison
    wrong = [
        (comparison.stale, "projections are stale"),
        (comparison.missing, "projections are missing"),
        (comparison.extra, "projections belong to nobody"),
        (state.primary.length, "entries are left in the primary lane (XLEN)"),
        (state.backfill.length, "entries are left in the backfill lane (XLEN)"),
        (state.primary.outbox + state.backfill.outbox, "outbox rows are not published"),
        (state.lag, "events lag"),
        (state.pending, "events are pending"),
        (state.failures, "events failed"),
        (findings.lost_requests, "production requests failed or never became visible"),
    ]
    broken = [f"{number:,} {what}" for number, what in wrong if number]
    limit = bound(findings.latency["idle"].p99)
    if findings.during.p99 is not None and findings.during.p99 > limit:
        text = f"production was affected: p99 {findings.during.p99:,.1f} ms, more than {limit:,.0f} ms"
        broken.append(f"{text} ({machine(findings)})")
    return broken


def machine(findings: Findings) -> str:
    """How busy it was. The promise needs a free core; a load far above the cores is other people's work."""
    cores = os.cpu_count() or 1
    busy = findings.load_average >= BUSY * cores
    advice = "; other work was measured too, try again on a quieter machine" if busy else ""
    return f"load average {findings.load_average} on {cores} cores{advice}"


def verdict(findings: Findings) -> str:
    """The run in one sentence."""
    broken = broken_promises(findings)
    if broken:
        return f"BROKEN: {'; '.join(broken)}."
    idle, during = findings.latency["idle"].p99, findings.during.p99
    calm = during is None or idle is None or during <= UNAFFECTED * idle
    kept = "Production unaffected" if calm else "Production kept up"
    migrated = f"{findings.migrated:,} customers were migrated"
    return f"{kept}: p99 {during} ms while {migrated}, {idle} ms before; every projection is right."


def criterion(findings: Findings) -> str:
    """By what the verdict was reached."""
    limit = bound(findings.latency["idle"].p99)
    return (
        f"A p99 above {limit:,.0f} ms while migrating and draining would have been a broken promise: the larger of "
        f"{TIMES_IDLE:.0f} x idle's p99 and {MILLISECONDS:.0f} ms. Up to {UNAFFECTED} x idle's counts as unaffected."
    )
