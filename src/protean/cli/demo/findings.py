"""From what was recorded to what it shows."""

from __future__ import annotations

from protean.cli.demo.latency import Summary, summarise
from protean.cli.demo.samples import Kind, of_phase
from protean.cli.demo.story import Recorded
from protean.cli.demo.verdict import Findings

PHASES = ("idle", "migrating", "draining", "after")


def findings_of(record: Recorded) -> Findings:
    """Rates are over the time from the migration's first event to its last one written, and handled."""
    phases = {phase.name: phase for phase in record.phases.all()}
    during = of_phase(record.measured, record.phases.all(), "migrating", "draining")
    migrated = record.end.backfill.written
    began = record.end.backfill.since or phases["migrating"].began
    return Findings(
        customers=record.customers,
        migrated=migrated,
        records_per_s=round(migrated / (phases["migrating"].ended - began), 1),
        events_per_s=round(migrated / (phases["draining"].ended - began), 1),
        latency={name: _latency(record, name) for name in PHASES},
        http={name: _http(record, name) for name in PHASES},
        during=summarise([one.latency for one in during]),
        waiting=summarise([one.latency for one in during if one.sample.kind is Kind.RENAME_WAITING]),
        lost_requests=sum(sample.error is not None for sample in record.samples),
        load_average=round(record.load_average, 1),
        state=record.end,
        comparison=record.comparison,
    )


def _latency(record: Recorded, phase: str) -> Summary:
    return summarise([one.latency for one in of_phase(record.measured, record.phases.all(), phase)])


def _http(record: Recorded, phase: str) -> Summary:
    return summarise([one.http for one in of_phase(record.measured, record.phases.all(), phase)])
