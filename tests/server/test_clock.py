"""Whole engines on a machine whose clock is set by an hour while they work."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from tests.server.conftest import Cluster, wait_for
from tests.support.clocks import HOUR, set_clock

from protean.ports.progress import FailureFilter, FailureState
from protean.priority import Priority, processing_priority


def waiting(cluster: Cluster) -> list[Any]:
    transaction = cluster.bank.domain.database().transaction()
    try:
        return transaction.failures.find(FailureFilter(state=FailureState.WAITING), 10)
    finally:
        transaction.rollback()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_neither_work_nor_retries_nor_signs_of_life_stop_when_the_clock_is_set(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, jump: timedelta
) -> None:
    clock, bank = set_clock(monkeypatch), cluster.bank
    cluster.config["server"]["retry"] = {"max_retries": 1_000, "base_delay": 0.5, "max_delay": 0.5}
    bank.open("before")
    engines = cluster.start(2, fails={"before", "after"})
    consumers = {engine.consumer for engine in engines}
    wait_for(lambda: bool(waiting(cluster)))

    clock.ahead = jump
    for number in range(20):
        with processing_priority(Priority.LOW if number % 2 else Priority.NORMAL):
            bank.open(f"acc-{number}")
    bank.open("after")
    wait_for(lambda: all(bank.applied(f"acc-{number}") == [0] for number in range(20)))
    wait_for(lambda: any(each.stream_name == "account-after" and each.attempts > 1 for each in waiting(cluster)))
    assert consumers <= set(bank.domain.broker().living())

    for served in cluster.banks:
        served.fails = set()
    wait_for(lambda: bank.applied("after") == [0])
    if jump < timedelta():
        assert bank.applied("before") == []  # due when the clock is there again
        clock.ahead = timedelta()
    wait_for(lambda: bank.applied("before") == [0], lambda: str(waiting(cluster)))
    cluster.settle()
    assert waiting(cluster) == []
    assert consumers <= set(bank.domain.broker().living())
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [line for line in said if "is not heard" in line or "sign of life" in line or "takes over" in line]
