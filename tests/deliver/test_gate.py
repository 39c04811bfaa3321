"""Backfill yields while production has work, strictly or up to a share."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from protean.deliver.gate import CLOSED_LATELY, SHORT_WORK, LaneGate, Passage


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


class Clock:
    """Each look takes a fifth of a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.2
        return self.now


def test_the_gate_is_closed_while_any_production_thread_has_work() -> None:
    gate = LaneGate()
    first, second = gate.slot(0), gate.slot(700)
    first.close()
    second.close()
    first.open()
    assert gate.closed
    second.open()
    assert not gate.closed


def test_backfill_waits_at_the_closed_gate_and_goes_on_when_it_opens(stopping: threading.Event) -> None:
    gate = LaneGate()
    slot = gate.slot(3)
    slot.close()
    passed = threading.Event()

    def pass_through() -> None:
        Passage(gate).wait(stopping)
        passed.set()

    thread = threading.Thread(target=pass_through)
    thread.start()
    assert not passed.wait(0.1)
    slot.open()
    assert passed.wait(10)
    thread.join()


def test_stopping_lets_backfill_through_a_gate_that_never_opens(stopping: threading.Event) -> None:
    gate = LaneGate()
    gate.slot(0).close()
    stopping.set()
    Passage(gate).wait(stopping)


def test_slots_of_a_process_that_died_are_opened_and_no_others() -> None:
    gate = LaneGate()
    dead, alive = gate.slot(5), gate.slot(130)
    dead.close()
    alive.close()
    gate.clear(range(128))
    assert gate.closed
    alive.open()
    assert not gate.closed


def test_beside_production_that_was_just_at_work_transactions_are_kept_short(stopping: threading.Event) -> None:
    now = [100.0]
    gate = LaneGate()
    passage = Passage(gate, clock=lambda: now[0])
    assert passage.may_go_on(SHORT_WORK * 2)
    gate.slot(0).close()
    assert not passage.may_go_on(0.0)
    threading.Timer(0.05, gate.slot(0).open).start()
    passage.wait(stopping)
    assert passage.may_go_on(SHORT_WORK / 2)
    assert not passage.may_go_on(SHORT_WORK * 2)
    now[0] += CLOSED_LATELY
    assert passage.may_go_on(SHORT_WORK * 2)


def test_a_guaranteed_share_lets_backfill_work_under_endless_production(stopping: threading.Event) -> None:
    gate = LaneGate()
    passage = Passage(gate, min_share=0.25, clock=Clock())
    passage.wait(stopping)
    passage.worked(1000.0)  # through an open gate: that is nobody's share
    gate.slot(0).close()
    worked = waited = 0.0
    for _ in range(20):
        before = passage._clock()
        passage.wait(stopping)
        waited += passage._clock() - before
        passage.worked(1.0)
        worked += 1.0
    assert worked / (worked + waited) >= 0.2
