"""What a supervisor makes of deaths, without any process dying."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from protean.deliver.lanes import Lane
from protean.server.assembly import Role
from protean.server.board import REGIONS_EACH
from protean.server.child import CRASH_LOOP, HEALTHY_AFTER, RESTART_LAST, Child, Running, Shared
from protean.server.report import Phase, ProcessReport
from protean.server.supervisor import Order, Supervisor

ROLE = Role((Lane.PRIMARY,), 0)
ORDER = Order(domain="x", roles=(ROLE,), grace_period=1.0)


def running(lived: float = 0.0) -> Running:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return Running(process, 0, time.monotonic() - lived)


def test_pauses_between_restarts_double_to_a_bound() -> None:
    child = Child(ROLE)
    pauses = []
    for _ in range(12):
        child.running = running()
        child.died(1)
        pauses.append(child.pause)
        assert not child.due
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, *[RESTART_LAST] * 6]


def test_a_process_that_lived_for_a_minute_begins_anew() -> None:
    child = Child(ROLE, deaths=9)
    child.running = running(HEALTHY_AFTER + 1)
    child.died(-9)
    assert (child.deaths, child.end, child.pause) == (1, "was ended by SIGKILL", 0.5)


def test_ten_deaths_in_a_row_are_a_crash_loop_that_is_said_once_and_keeps_the_server_unready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    supervisor = Supervisor(ORDER)
    supervisor._served = True
    (child,) = supervisor._children
    for _ in range(CRASH_LOOP + 2):
        child.running = running()
        assert supervisor._bury(child, 1) is None

    said = [record for record in caplog.records if "a crash loop" in record.getMessage()]
    assert [record.levelno for record in said] == [logging.ERROR]
    assert said[0].getMessage().startswith("The primary process 0 has died 10 times in a row")
    assert supervisor.health().unready == [
        "the primary process 0 has died (12 times in a row, last: exited with code 1) and is started again"
    ]

    child.running = running()
    assert supervisor.health().unready == [
        "the primary process 0 is in a crash loop (12 times in a row, last: exited with code 1)"
    ]
    child.running = running(HEALTHY_AFTER + 1)
    assert child.problem is None


def test_a_configuration_that_is_refused_ends_the_server_unless_it_has_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    supervisor = Supervisor(ORDER)
    supervisor._children[0].running = running()
    assert supervisor._bury(supervisor._children[0], 2) == 2

    supervisor._served = True
    supervisor._children[0].running = running()
    assert supervisor._bury(supervisor._children[0], 2) is None
    assert "exited with code 2" in caplog.text


def test_a_system_without_room_for_a_process_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_room(*_arguments: object, **_options: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    supervisor = Supervisor(ORDER)
    (child,) = supervisor._children
    with monkeypatch.context() as patch:
        patch.setattr("protean.server.child.subprocess.Popen", no_room)
        assert supervisor._start(child, Shared("x", "INFO", True, 0, 1, 2)) is None
    assert not child.due
    assert "could not be started ([Errno 12] Cannot allocate memory); trying again in 0.5 s" in caplog.text
    assert supervisor.health().unready != []


def test_each_start_reports_elsewhere_than_those_that_may_still_be_ending() -> None:
    supervisor = Supervisor(ORDER)
    board, now = supervisor._board, time.monotonic()
    report = ProcessReport(consumer="former", pid=1, lanes=("primary",), phase=Phase.SERVING, since=now, at=now)
    regions = []
    child = Child(replace(ROLE, index=3))
    for _ in range(3):
        region = child.next_region(board)
        assert board.read(region) is None
        board.write(region, report)
        regions.append(region)
    assert len(set(regions)) == 3
    assert max(regions) < 4 * REGIONS_EACH
