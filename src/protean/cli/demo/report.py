"""What a run showed, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from protean.cli.demo.latency import Summary
from protean.cli.demo.verdict import Findings, machine, verdict
from protean.cli.output import Table

HEADINGS = ("p50", "p95", "p99", "max", "n")


def as_json(findings: Findings) -> dict[str, Any]:
    """`latency_ms` is from an event's commit to its visible projection, `http_ms` from a request's scheduled time
    to its answer."""
    state = findings.state
    return {
        "customers": findings.customers,
        "records_per_s": findings.records_per_s,
        "events_per_s": findings.events_per_s,
        "latency_ms": {phase: asdict(summary) for phase, summary in findings.latency.items()},
        "http_ms": {phase: asdict(summary) for phase, summary in findings.http.items()},
        "xlen": {"primary": state.primary.length, "backfill": state.backfill.length},
        "lag": state.lag,
        "pending": state.pending,
        "stale": findings.comparison.stale,
        "missing": findings.comparison.missing,
        "verdict": verdict(findings),
    }


def latency_table(findings: Findings) -> Table:
    """A row for each phase, and one for the hardest requests among them."""
    rows = [_row(f"commit to read model, {phase}", summary) for phase, summary in findings.latency.items()]
    rows.append(_row("  customers waiting in backfill", findings.waiting))
    rows += [_row(f"HTTP request, {phase}", summary) for phase, summary in findings.http.items()]
    return Table(("PRODUCTION, ms", *HEADINGS), rows, frozenset(HEADINGS))


def outcome_table(findings: Findings) -> Table:
    """What was done, and what must be zero afterwards."""
    state, comparison = findings.state, findings.comparison
    rows = [
        ("migrated", f"{findings.migrated:,} customers, {findings.records_per_s:,.0f} records/s"),
        ("handled", f"{findings.migrated:,} events, {findings.events_per_s:,.0f} events/s"),
        ("XLEN", f"primary {state.primary.length}, backfill {state.backfill.length}"),
        ("lag, pending", f"{state.lag}, {state.pending}"),
        ("failures", f"{state.failures} events, {findings.lost_requests} requests"),
        ("machine", f"{machine(findings)} when the migration ended"),
        ("read model", _comparison(comparison.compared, comparison.stale, comparison.missing)),
    ]
    return Table(("AFTERWARDS", ""), rows)


def _comparison(compared: int, stale: int, missing: int) -> str:
    return f"{compared:,} rows compared with their aggregates: {stale} stale, {missing} missing"


def _row(name: str, summary: Summary) -> tuple[str, ...]:
    figures = (summary.p50, summary.p95, summary.p99, summary.max)
    return (name, *("-" if figure is None else f"{figure:,.1f}" for figure in figures), f"{summary.n:,}")
