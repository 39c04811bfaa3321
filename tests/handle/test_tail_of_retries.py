"""What is left when the good messages are through: many that fail on their own, on a clock that only moves when told.

The lane and the retrier are those of a server, a step of a quarter of a second each; only the waiting is left out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from tests.support.bank import always, delivery

from protean.clock import told_by, utc_now
from protean.handle.breaker import TRIALS, Breaker, BreakerSettings
from protean.handle.executor import Executor
from protean.handle.retrier import Retrier
from protean.handle.retry import RetryPolicy
from protean.ports.progress import Failure, FailureFilter, FailureState

LEDGER = "LedgerProjector"
STEP = 0.25
#: Steps from one look of the retrier to the next.
LOOK = 4
POLICY = RetryPolicy()
#: Seconds that the default policy takes from the first attempt of a message to the last, with the jitter at its worst,
#: and a look late each time.
SPAN = sum(POLICY.delay(attempt, lambda: 1.0) + 1.0 for attempt in range(1, POLICY.max_retries + 1))
#: Seconds after its healing in which a handler is found to be well again.
RECOVERY = 10.0


@dataclass
class Day:
    """A process that serves one handler: its lane's messages, its breaker, its retries. `seconds` have passed."""

    bank: Any
    settings: BreakerSettings = field(default_factory=BreakerSettings)
    lane: list[Any] = field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0

    def __post_init__(self) -> None:
        self.began = utc_now()
        self.start()

    def start(self) -> None:
        """A process of its own, with a breaker that knows nothing; the one before is gone."""
        spec = next(spec for spec in self.bank.domain.registry.handlers if spec.name == LEDGER)
        self.breaker = Breaker(LEDGER, self.settings, lambda: self.seconds)
        self.executor = Executor(self.bank.domain, spec, "default", POLICY, self.breaker)
        self.retrier = Retrier(self.bank.domain.database(), None, {LEDGER: self.executor}, lambda failure: None)

    def passes(self, seconds: float) -> None:
        until = self.seconds + seconds
        while self.seconds < until:
            self.step()

    def step(self) -> None:
        while self.lane and (done := self.executor.execute(self.lane[:50], grouped=True, go_on=always)):
            self.lane = self.lane[len(done) :]
        if self.steps % LOOK == 0:
            self.retrier.drain(threading.Event())
        self.steps += 1
        self.seconds += STEP

    def comes(self, *names: str) -> None:
        """An event each of new accounts."""
        for name in names:
            self.bank.open(name)
            self.lane += [delivery(self.bank.log(name)[0])]

    def found(self, state: FailureState) -> list[Failure]:
        transaction = self.bank.domain.database().transaction()
        try:
            return list(transaction.failures.find(FailureFilter(state=state), 1000))
        finally:
            transaction.rollback()

    def until_none_waits(self, most: float) -> float:
        """The seconds that it takes until no failure waits; fails after `most`."""
        began = self.seconds
        while self.lane or (waiting := self.found(FailureState.WAITING)):
            assert self.seconds - began < most, f"{len(waiting)} wait after {most} s"
            self.step()
        return self.seconds - began


@pytest.fixture
def day(bank: Any) -> Iterator[Day]:
    day = Day(bank)
    with told_by(lambda: day.began + timedelta(seconds=day.seconds)):
        yield day


def many(day: Day) -> int:
    """More than open a breaker; as many as a soak has left behind where that costs nothing."""
    return 67 if in_memory(day) else day.settings.failures + 5


def in_memory(day: Day) -> bool:
    return day.bank.domain.config.databases["default"].provider == "memory"


def some_bad_among_good(day: Day, bad: int) -> list[str]:
    """As they come in on a good day; the bad ones have failed once."""
    names = [f"bad-{number}" for number in range(bad)]
    day.bank.fails |= set(names)
    for number, name in enumerate(names):
        day.comes(f"good-{number}", name)
    day.comes("last")
    day.step()
    assert [left.attempts for left in day.found(FailureState.WAITING)] == [1] * bad
    return names


def test_a_tail_of_bad_messages_takes_as_long_as_one_of_them(day: Day) -> None:
    names = some_bad_among_good(day, many(day))

    day.until_none_waits(SPAN)

    assert day.breaker.closed
    dead = day.found(FailureState.DEAD)
    assert len(dead) == len(names)
    assert {letter.attempts for letter in dead} == {1 + POLICY.max_retries}


def test_a_tail_is_no_longer_when_processes_come_and_go(day: Day) -> None:
    names = some_bad_among_good(day, many(day))
    for _ in range(3):
        day.passes(2.0)
        day.start()
    day.until_none_waits(SPAN)
    assert len(day.found(FailureState.DEAD)) == len(names)


def test_an_outage_of_an_hour_is_asked_seldom_and_costs_no_message_an_attempt(day: Day) -> None:
    day.bank.between = away
    day.comes(*(f"a{number}" for number in range(60)))
    hour = 3600.0 if in_memory(day) else 30.0
    day.passes(hour)
    rounds = 5 + hour / day.settings.max_cool_down
    assert len(day.bank.calls) <= day.settings.failures + 1 + TRIALS * rounds
    assert {left.attempts for left in day.found(FailureState.WAITING)} == {0}
    assert day.found(FailureState.DEAD) == []

    day.bank.between = lambda event: None

    assert day.until_none_waits(RECOVERY) <= RECOVERY
    assert all(day.bank.applied(f"a{number}") == [0] for number in range(60))


def test_bad_messages_from_before_keep_no_outage_alive(day: Day) -> None:
    names = some_bad_among_good(day, many(day))
    day.bank.between = away
    day.comes(*(f"a{number}" for number in range(30)))
    day.passes(30.0)
    assert not day.breaker.closed
    assert day.found(FailureState.DEAD) == []
    # The first trials may come before the others are due.
    assert sum(left.attempts > 1 for left in day.found(FailureState.WAITING)) <= TRIALS

    day.bank.between = lambda event: None
    healed = day.seconds
    while not day.breaker.closed:
        assert day.seconds - healed <= RECOVERY
        day.step()
    day.until_none_waits(SPAN)

    assert all(day.bank.applied(f"a{number}") == [0] for number in range(30))
    assert len(day.found(FailureState.DEAD)) == len(names)


def test_bad_messages_behind_an_open_breaker_go_on_by_their_own_attempts(day: Day) -> None:
    """Another process has handled those that had opened it, and is gone."""
    names = some_bad_among_good(day, many(day))
    for number in range(day.settings.failures):
        day.breaker.failed(day.found(FailureState.WAITING)[number])
    assert not day.breaker.closed

    day.until_none_waits(len(names) * POLICY.max_retries / TRIALS * 1.25 + SPAN)

    assert len(day.found(FailureState.DEAD)) == len(names)


def test_replaying_everything_during_an_outage_buries_nothing_again(day: Day) -> None:
    some_bad_among_good(day, many(day))
    day.until_none_waits(SPAN)
    transaction = day.bank.domain.database().transaction()
    transaction.failures.release(FailureFilter(state=FailureState.DEAD))
    transaction.commit()

    day.passes(20.0)

    assert day.found(FailureState.DEAD) == []
    assert {left.attempts for left in day.found(FailureState.WAITING)} == {0}


def away(event: Any) -> None:
    raise ConnectionError("the dependency is away")
