"""When a backfill is done: from what its engines have counted, minute by minute."""

from __future__ import annotations

import time

import pytest
from pydantic_core import to_json

from protean.adapters.memory.broker import MemoryBroker
from protean.deliver.lanes import Lane
from protean.histogram import Histogram
from protean.server.lane_report import LaneReport
from protean.server.observatory import figures, judging
from protean.server.observatory.history import History
from protean.server.observatory.snapshot import BackfillFigures

STREAM = "account:backfill"


def figures_of(handled: dict[int, int], seconds: float, blocked: int = 0) -> BackfillFigures:
    """Of a backfill that is 6,000 behind, so many seconds into the minute 0, after so many in each minute."""
    broker, minute = MemoryBroker(), int(time.time() // 60)
    for ago, count in handled.items():
        durations = Histogram()
        durations.add(0.5, count)
        plain = durations.to_plain()
        told = [{"stream": STREAM, "handler": "LedgerProjector", "latency": plain, "handling": plain}]
        broker.write_minute("engine", minute - ago, to_json(told), 3600.0)
    history = History(broker)
    history.refresh()
    report = LaneReport(
        stream=STREAM,
        category="account",
        lane=Lane.BACKFILL,
        served=True,
        outbox=6_000,
        given_up=0,
        length=0,
        groups=(),
        oldest=1.0,
        waiting=0,
        blocked=blocked,
        blocked_at_least=False,
        dead=0,
    )
    found = figures.backfill([report], history, minute * 60 + seconds)
    assert found is not None
    return found


@pytest.mark.parametrize("seconds", [1.0, 30.0, 59.0])
def test_a_minute_that_is_not_over_slows_nothing_down(seconds: float) -> None:
    told = figures_of({2: 6_000, 1: 6_000, 0: round(100 * seconds)}, seconds)
    assert told.rate == pytest.approx(100.0)
    assert told.eta == pytest.approx((42.0, 78.0))


def test_minutes_before_it_began_slow_nothing_down() -> None:
    assert figures_of({0: 4_000}, 40.0).eta == pytest.approx((42.0, 78.0))


def test_nobody_says_when_it_ends_in_its_first_half_minute() -> None:
    told = figures_of({0: 1_000}, 10.0)
    assert (told.eta, told.state) == (None, "draining")
    assert judging.done_when(told).startswith("Backfill has just begun")


def test_what_waits_for_a_person_is_behind_and_has_no_part_in_the_end() -> None:
    told = figures_of({0: 4_000}, 40.0, blocked=900)
    assert (told.behind, told.eta) == (6_900, pytest.approx((42.0, 78.0)))
    assert "900 behind dead letters" in told.reason
