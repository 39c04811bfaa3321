"""What a clock that is set does to retries: nothing is lost, nothing doubled, and late by as much at most."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from tests.support.clocks import HOUR, SetClock, set_clock

from protean.handle.executor import Executor
from protean.handle.retrier import LEASE, Retrier
from protean.handle.retry import RetryPolicy
from protean.ports.progress import Failure, FailureFilter, FailureState

#: Longer than a test takes, shorter than the clock's jump.
DELAY = 600.0
POLICY = RetryPolicy(max_retries=3, base_delay=DELAY, max_delay=4 * DELAY, jitter=0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return set_clock(monkeypatch)


def executor_of(bank: Any) -> Executor:
    executor: Executor = bank.executor("LedgerProjector", POLICY)
    return executor


def fail(bank: Any, executor: Executor, name: str) -> None:
    bank.open(name)
    bank.deposit(name)
    bank.fails.add(f"{name}:1")
    executor.execute(bank.deliveries(name), grouped=False, go_on=lambda: True)


def failures(bank: Any) -> dict[str, Failure]:
    transaction = bank.domain.database().transaction()
    try:
        return {each.stream_name: each for each in transaction.failures.find(FailureFilter(), 10)}
    finally:
        transaction.rollback()


def drain(bank: Any, executor: Executor) -> list[str]:
    """Retry what is due; whose handlers were called."""
    bank.calls.clear()
    Retrier(bank.domain.database(), None, {"LedgerProjector": executor}, lambda failure: None).drain(threading.Event())
    return [name for name, _ in bank.calls]


def test_a_clock_that_is_set_back_delays_what_was_due_by_as_much_and_nothing_that_fails_later(
    bank: Any, clock: SetClock
) -> None:
    executor = executor_of(bank)
    fail(bank, executor, "before")
    clock.ahead = -HOUR
    fail(bank, executor, "after")
    assert drain(bank, executor) == []

    clock.ahead += timedelta(seconds=DELAY + 1)
    assert drain(bank, executor) == ["after"]
    assert failures(bank)["account-before"].attempts == 1

    bank.fails.clear()
    clock.ahead = timedelta(seconds=DELAY - 60)
    assert "before" not in drain(bank, executor)
    clock.ahead = timedelta(seconds=DELAY + 1)
    assert drain(bank, executor) == ["before"]
    assert (bank.applied("before"), bank.applied("after")) == ([0, 1], [0, 1])
    assert failures(bank) == {}


def test_a_clock_that_is_set_forward_makes_retries_early_and_costs_one_attempt(bank: Any, clock: SetClock) -> None:
    executor = executor_of(bank)
    fail(bank, executor, "a")
    clock.ahead = HOUR
    assert drain(bank, executor) == ["a"]
    assert drain(bank, executor) == []
    failure = failures(bank)["account-a"]
    assert (failure.attempts, failure.state) == (2, FailureState.WAITING)

    bank.fails.clear()
    clock.ahead += timedelta(seconds=2 * DELAY + 1)
    assert drain(bank, executor) == ["a"]
    assert bank.applied("a") == [0, 1]
    assert failures(bank) == {}


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_retry_under_way_while_the_clock_is_set_is_applied_once(bank: Any, clock: SetClock, jump: timedelta) -> None:
    executor = executor_of(bank)
    fail(bank, executor, "a")
    bank.fails.clear()
    clock.ahead = timedelta(seconds=DELAY + 1)
    transaction = bank.domain.database().transaction()
    (claimed,) = transaction.failures.claim(FailureFilter(state=FailureState.WAITING), 1, LEASE)
    transaction.commit()
    clock.ahead += jump  # forward, the lease has run out, and somebody else takes it as well
    assert drain(bank, executor) == (["a"] if jump > timedelta() else [])
    assert executor.retry(claimed) is None
    assert bank.applied("a") == [0, 1]
    assert bank.position("a") == (1, False)
    assert failures(bank) == {}
