"""The demo's decisions: percentiles, phases, the verdict. No server is needed for these."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from protean.cli.demo.lanes import NOTHING, LaneState
from protean.cli.demo.latency import Summary, percentile, summarise
from protean.cli.demo.report import as_json, latency_table, outcome_table
from protean.cli.demo.samples import Kind, Measured, Phases, Sample, of_phase, read_samples
from protean.cli.demo.story import quiet_seconds
from protean.cli.demo.verdict import Findings, bound, broken_promises, criterion, verdict
from protean.cli.demo.verification import Comparison, compare

CALM = Summary(4.0, 6.0, 8.0, 9.0, 300)
GOOD = Findings(
    customers=10_000,
    migrated=10_100,
    records_per_s=700.0,
    events_per_s=690.0,
    latency=dict.fromkeys(("idle", "migrating", "draining", "after"), CALM),
    http=dict.fromkeys(("idle", "migrating", "draining", "after"), CALM),
    waiting=CALM,
    during=CALM,
    lost_requests=0,
    load_average=1.5,
    state=NOTHING,
    comparison=Comparison(10_400, 0, 0, 0),
)
LEFT_OVER = LaneState(written=10, outbox=0, length=3, lag=0, pending=0)


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.01, 1.0), (0.5, 50.0), (0.501, 51.0), (0.95, 95.0), (0.99, 99.0), (1.0, 100.0)]
)
def test_a_percentile_is_a_value_that_was_seen(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(1, 101)], share) == value


def test_few_values_have_their_largest_as_p99() -> None:
    assert summarise([3.0, 1.0, 2.04]) == Summary(p50=2.0, p95=3.0, p99=3.0, max=3.0, n=3)


def test_nothing_measured_is_not_zero_milliseconds() -> None:
    assert summarise([]) == Summary(None, None, None, None, 0)


def test_a_request_belongs_to_the_phase_in_which_it_was_due() -> None:
    phases = Phases()
    phases.begin("idle", 10.0)
    phases.begin("migrating", 20.0)
    phases.finish(30.0)

    measured = [measured_at(moment) for moment in (9.9, 10.0, 19.9, 20.0, 29.9, 30.0)]

    assert [one.sample.scheduled for one in of_phase(measured, phases.all(), "idle")] == [10.0, 19.9]
    assert [one.sample.scheduled for one in of_phase(measured, phases.all(), "migrating")] == [20.0, 29.9]


def test_the_time_of_the_request_and_that_of_its_event_are_told_apart() -> None:
    one = measured_at(10.0, answered=10.012, committed=10.010, visible=10.014)

    assert one.http == pytest.approx(12.0)
    assert one.latency == pytest.approx(4.0)


def test_samples_survive_the_file_and_a_line_half_written_is_left_out(tmp_path: Path) -> None:
    samples = [sample_at(float(number)) for number in range(50)]
    file = tmp_path / "samples.jsonl"
    file.write_text("".join(sample.to_line() for sample in samples) + '{"kind": "ren')

    assert read_samples(file) == samples
    few = read_samples(file, last=10)
    assert 5 <= len(few) <= 20
    assert few == samples[-len(few) :]
    assert read_samples(tmp_path / "none") == []


@pytest.mark.parametrize(("customers", "seconds"), [(200, 4.0), (5_000, 7.5), (10_000, 15.0), (1_000_000, 15.0)])
def test_a_short_demo_has_short_quiet_phases(customers: int, seconds: float) -> None:
    assert quiet_seconds(customers) == seconds


@pytest.mark.parametrize(("idle", "limit"), [(None, 100.0), (4.0, 100.0), (40.0, 120.0)])
def test_production_is_affected_beyond_three_times_idle_and_a_tenth_of_a_second(
    idle: float | None, limit: float
) -> None:
    assert bound(idle) == limit


def test_all_promises_kept() -> None:
    assert broken_promises(GOOD) == []
    assert verdict(GOOD).startswith("Production unaffected: p99 8.0 ms while 10,100 customers were migrated")
    assert "above 100 ms" in criterion(GOOD)


def test_slower_within_the_bound_is_not_called_unaffected() -> None:
    slower = replace(GOOD, during=replace(CALM, p99=12.1))

    assert broken_promises(slower) == []
    assert verdict(slower).startswith("Production kept up: p99 12.1 ms")


def test_on_a_busy_machine_a_broken_promise_says_that_other_work_was_measured() -> None:
    affected = replace(GOOD, during=replace(CALM, p99=500.0))

    assert "quieter machine" not in verdict(replace(affected, load_average=0.0))
    assert "quieter machine" in verdict(replace(affected, load_average=1_000.0))


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        (replace(GOOD, comparison=Comparison(10, 0, 2, 0)), "2 projections are stale"),
        (replace(GOOD, comparison=Comparison(10, 1, 0, 0)), "1 projections are missing"),
        (replace(GOOD, comparison=Comparison(10, 0, 0, 1)), "1 projections belong to nobody"),
        (replace(GOOD, state=replace(NOTHING, primary=LEFT_OVER)), "3 entries are left in the primary lane"),
        (replace(GOOD, state=replace(NOTHING, backfill=LEFT_OVER)), "3 entries are left in the backfill lane"),
        (replace(GOOD, state=replace(NOTHING, backfill=replace(LEFT_OVER, lag=5))), "5 events lag"),
        (replace(GOOD, state=replace(NOTHING, backfill=replace(LEFT_OVER, pending=6))), "6 events are pending"),
        (replace(GOOD, state=replace(NOTHING, backfill=replace(LEFT_OVER, outbox=7))), "7 outbox rows"),
        (replace(GOOD, state=replace(NOTHING, failures=8)), "8 events failed"),
        (replace(GOOD, lost_requests=9), "9 production requests failed"),
        (replace(GOOD, during=replace(CALM, p99=100.1)), "production was affected: p99 100.1 ms, more than 100 ms"),
    ],
)
def test_each_broken_promise_is_named(findings: Findings, said: str) -> None:
    assert said in "; ".join(broken_promises(findings))
    assert verdict(findings).startswith("BROKEN: ")
    assert said in verdict(findings)


def test_views_are_compared_field_by_field() -> None:
    right = customer("a")
    views: dict[str, dict[str, Any]] = {
        "a": view("a"),
        "b": view("b", loyalty_tier=None),
    }

    assert compare([right], views) == Comparison(compared=1)
    assert compare([right, customer("b"), customer("c")], views) == Comparison(compared=3, missing=1, stale=1)


def test_the_json_object_has_what_programs_ask_for() -> None:
    found = as_json(GOOD)

    assert set(found) >= {
        *("customers", "records_per_s", "events_per_s", "latency_ms", "xlen"),
        *("lag", "pending", "stale", "missing", "verdict"),
    }
    assert found["latency_ms"]["idle"] == {"p50": 4.0, "p95": 6.0, "p99": 8.0, "max": 9.0, "n": 300}
    assert found["xlen"] == {"primary": 0, "backfill": 0}


def test_a_phase_too_short_for_a_request_shows_a_dash() -> None:
    table = latency_table(replace(GOOD, latency={**GOOD.latency, "draining": summarise([])}))

    assert ("commit to read model, draining", "-", "-", "-", "-", "0") in table.rows
    assert outcome_table(GOOD).rows[-1][1] == "10,400 rows compared with their aggregates: 0 stale, 0 missing"


def sample_at(moment: float) -> Sample:
    return Sample(kind=Kind.RENAME, customer_id="a", name=f"Request {moment}", scheduled=moment)


def measured_at(moment: float, *, committed: float = 0.0, visible: float = 0.0, answered: float = 0.0) -> Measured:
    return Measured(sample_at(moment), committed, visible, answered)


def customer(identity: str) -> SimpleNamespace:
    return SimpleNamespace(id=identity, name="Ada", email="ada@example.com", lifetime_spend=1.0, loyalty_tier="gold")


def view(identity: str, **changed: Any) -> dict[str, Any]:
    values = {"name": "Ada", "email": "ada@example.com", "lifetime_spend": 1.0, "loyalty_tier": "gold"}
    return {"customer_id": identity, **values, **changed}
