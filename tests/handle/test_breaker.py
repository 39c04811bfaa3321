"""The breaker: a run of failures stops the handing over, a few messages ask now and then whether it is over."""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.support.bank import always

from protean.clock import utc_now
from protean.exceptions import DatabaseUnavailableError, TransientDatabaseError
from protean.handle.breaker import CLOSED, FORGIVEN_BESIDES, TRIALS, Breaker, BreakerSettings, Circuit, Passing
from protean.handle.executor import Executor
from protean.handle.retrier import TURN, Retrier
from protean.handle.retry import RetryPolicy
from protean.ports.handling import Verdict
from protean.ports.progress import Failure, FailureFilter, FailureState

THREE = BreakerSettings(failures=3, cool_down=1.0, max_cool_down=5.0)
EAGER = RetryPolicy(max_retries=1, base_delay=0.0, max_delay=0.0, jitter=0.0)
EVERY = FailureFilter()


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def failure(message_id: str, error_type: str = "ConnectionError") -> Failure:
    now = utc_now()
    return Failure(
        handler="Mailer",
        message_id=message_id,
        stream_name="customer-1",
        stream="customer",
        lane="primary",
        attempts=1,
        due_at=now,
        state=FailureState.WAITING,
        message_type="Registered",
        error_type=error_type,
        error="refused",
        traceback="",
        first_failed_at=now,
        last_failed_at=now,
        original_id="1-0",
    )


def opened(clock: Clock, settings: BreakerSettings = THREE) -> Breaker:
    breaker = Breaker("Mailer", settings, clock)
    for number in range(settings.failures):
        breaker.failed(failure(f"m-{number}"))
    return breaker


class TestTheDecision:
    def test_it_opens_after_so_many_different_messages_in_a_row(self) -> None:
        circuit = CLOSED
        for number in range(2):
            circuit = circuit.after_failure(f"m-{number}", THREE, 10.0)
        assert circuit.open_until is None
        assert circuit.after_failure("m-2", THREE, 10.0).open_until == 11.0

    def test_one_message_that_fails_again_and_again_opens_nothing(self) -> None:
        circuit = CLOSED
        for _ in range(100):
            circuit = circuit.after_failure("m-1", THREE, 10.0)
        assert circuit.open_until is None

    def test_the_wait_doubles_up_to_its_limit(self) -> None:
        circuit, waits = Circuit(), []
        for _ in range(5):
            circuit = circuit.opened(THREE, 0.0)
            waits.append(circuit.open_until)
        assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]
        assert Circuit(openings=10_000).opened(THREE, 0.0).open_until == 5.0

    def test_what_fails_again_after_it_had_failed_on_its_own_is_no_news(self) -> None:
        circuit = CLOSED
        for number in range(100):
            circuit = circuit.after_failure(f"ill-{number}", THREE, 10.0, again=True)
        assert circuit.open_until is None
        for number in range(3):
            circuit = circuit.after_failure(f"m-{number}", THREE, 10.0)
        assert circuit.open_until == 11.0

    def test_what_failed_again_in_the_run_that_opens_it_is_forgiven_with_the_others(self, clock: Clock) -> None:
        breaker = Breaker("Mailer", THREE, clock)
        for number in range(FORGIVEN_BESIDES + 5):
            breaker.failed(failure(f"ill-{number}"), again=True)
        forgiven = [breaker.failed(failure(f"m-{number}")) for number in range(3)]
        assert forgiven[:2] == [frozenset(), frozenset()]
        assert forgiven[2] >= {"m-0", "m-1", "m-2", "ill-0"}
        assert len(forgiven[2]) == FORGIVEN_BESIDES + 3

    def test_zero_is_never(self) -> None:
        never = BreakerSettings(failures=0)
        circuit = CLOSED
        for number in range(1000):
            circuit = circuit.after_failure(f"m-{number}", never, 0.0)
        assert circuit is CLOSED


class TestTheBreaker:
    def test_a_success_in_between_begins_the_count_anew(self, clock: Clock) -> None:
        breaker = Breaker("Mailer", THREE, clock)
        for number in range(10):
            breaker.failed(failure(f"m-{number}"))
            if number % 2:
                breaker.succeeded()
        assert breaker.closed

    def test_open_it_lets_nothing_through_and_then_one(self, clock: Clock) -> None:
        breaker = opened(clock)
        assert (breaker.enter(), breaker.rests_for()) == (Passing.NONE, 1.0)
        clock.now += 1.0
        assert breaker.rests_for() == 0.0
        assert [breaker.enter() for _ in range(3)] == [Passing.ONE, Passing.NONE, Passing.NONE]
        assert breaker.rests_for() > 0.0

    def test_a_trial_that_succeeds_closes_it(self, clock: Clock) -> None:
        breaker = opened(clock)
        clock.now += 1.0
        assert breaker.enter() is Passing.ONE
        breaker.succeeded()
        breaker.leave()
        assert breaker.enter() is Passing.ALL
        breaker.failed(failure("m-9"))
        assert breaker.closed

    def test_trials_that_all_fail_open_it_for_twice_as_long(self, clock: Clock) -> None:
        breaker = opened(clock)
        clock.now += 1.0
        for number in range(TRIALS):
            assert (breaker.rests_for(), breaker.enter()) == (0.0, Passing.ONE)
            breaker.failed(failure(f"m-{number}"), trial=True)
            breaker.leave()
        assert breaker.rests_for() == 2.0
        clock.now += 2.0
        assert breaker.enter() is Passing.ONE

    def test_one_good_message_among_bad_trials_closes_it(self, clock: Clock) -> None:
        breaker = opened(clock)
        clock.now += 1.0
        for number in range(TRIALS - 1):
            breaker.enter()
            breaker.failed(failure(f"m-{number}"), trial=True)
            breaker.leave()
        assert breaker.enter() is Passing.ONE
        breaker.succeeded()
        assert breaker.closed

    def test_trials_of_what_had_failed_before_do_not_prolong_the_wait(self, clock: Clock) -> None:
        breaker = opened(clock)
        for _ in range(10):
            clock.now += 1.0
            for number in range(TRIALS):
                assert breaker.enter() is Passing.ONE
                breaker.failed(failure(f"m-{number}"), trial=True, again=True)
                breaker.leave()
            assert breaker.rests_for() == 1.0

    def test_a_trial_that_says_nothing_leaves_the_next_one_to_try(self, clock: Clock) -> None:
        breaker = opened(clock)
        clock.now += 1.0
        assert breaker.enter() is Passing.ONE
        breaker.leave()
        assert breaker.enter() is Passing.ONE

    def test_what_was_under_way_when_it_opened_does_not_prolong_it(self, clock: Clock) -> None:
        breaker = opened(clock)
        breaker.failed(failure("straggler"))
        assert breaker.rests_for() == 1.0

    def test_it_says_what_is_open_and_until_when(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "protean.handle.breaker"):
            breaker = opened(clock)
            clock.now += 1.0
            breaker.enter()
            breaker.succeeded()
        warned, told = caplog.records
        assert warned.levelno == logging.WARNING
        assert "[Mailer] has failed at 3 different messages in a row" in warned.getMessage()
        assert "(1.0 s), then up to 5 messages as trials" in warned.getMessage()
        assert "ConnectionError: refused" in warned.getMessage()
        assert "[Mailer] succeeds again" in told.getMessage()

    def test_of_many_threads_one_gets_the_trial(self, clock: Clock, together: Callable[..., None]) -> None:
        breaker = opened(clock)
        clock.now += 1.0
        got: list[Passing] = []
        together(*[lambda: got.append(breaker.enter()) for _ in range(8)])
        assert sorted(got) == [Passing.NONE] * 7 + [Passing.ONE]


def executor_of(bank: Any, breaker: Breaker, handler: str = "LedgerProjector", policy: RetryPolicy = EAGER) -> Executor:
    spec = next(spec for spec in bank.domain.registry.handlers if spec.name == handler)
    return Executor(bank.domain, spec, "default", policy, breaker)


def accounts(bank: Any, count: int) -> list[Any]:
    """One delivery each of so many accounts."""
    return [bank.deliveries(bank.open(f"a{number}"))[0] for number in range(count)]


def failures(bank: Any, which: FailureFilter = EVERY) -> list[Failure]:
    transaction = bank.domain.database().transaction()
    try:
        return list(transaction.failures.find(which, 1000))
    finally:
        transaction.rollback()


def claim(bank: Any, lease: float = 30.0) -> Failure:
    transaction = bank.domain.database().transaction()
    (claimed,) = transaction.failures.claim(FailureFilter(), 1, lease)
    transaction.commit()
    return claimed


def away(event: Any) -> None:
    raise ConnectionError("the dependency is away")


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("handler", ["LedgerProjector", "Postman"])
def test_an_outage_costs_the_run_that_opens_it_and_nothing_behind(
    bank: Any, clock: Clock, grouped: bool, handler: str
) -> None:
    deliveries = []
    for number in range(10):
        bank.open(f"a{number}")
        bank.rename(f"a{number}", "Ann")
        deliveries.append(bank.deliveries(f"a{number}")[handler == "Postman"])  # opened, renamed
    bank.fails = {f"a{number}" for number in range(10)} | {f"post a{number}" for number in range(10)}
    breaker = Breaker(handler, THREE, clock)
    executor = executor_of(bank, breaker, handler)
    handed, outcomes = list(deliveries), []
    while handed and (got := executor.execute(handed, grouped=grouped, go_on=always)):
        outcomes += got
        handed = handed[len(got) :]
    assert [outcome.verdict for outcome in outcomes] == [Verdict.RETRY] * len(outcomes)
    assert len(outcomes) == len(failures(bank)) == 3
    assert [left.attempts for left in failures(bank)] == [0, 0, 0]
    assert executor.rests_for() == 1.0


def test_processes_with_breakers_of_their_own_do_not_use_up_the_attempts_of_a_few_messages(bank: Any) -> None:
    deliveries = accounts(bank, 3)
    bank.between = away
    for _ in range(6):
        executor = executor_of(bank, Breaker("LedgerProjector", THREE, Clock()))
        executor.execute(deliveries, grouped=False, go_on=always)
        Retrier(bank.domain.database(), None, {"LedgerProjector": executor}, lambda failure: None).drain(
            threading.Event()
        )
    assert [(left.state, left.attempts) for left in failures(bank)] == [(FailureState.WAITING, 0)] * 3


def test_a_failed_trial_burns_no_attempt_of_its_message(bank: Any, clock: Clock) -> None:
    deliveries = accounts(bank, 6)
    bank.between = away
    breaker = Breaker("LedgerProjector", THREE, clock)
    executor = executor_of(bank, breaker, policy=RetryPolicy(max_retries=0, base_delay=0.0))
    breaker._circuit = Circuit(openings=1, open_until=clock.now)
    (outcome,) = executor.execute(deliveries, grouped=True, go_on=always)
    assert (outcome.verdict, outcome.failure.attempts, outcome.failure.state) == (
        *(Verdict.RETRY, 0), FailureState.WAITING,
    )  # fmt: skip
    assert executor.retry(claim(bank)).attempts == 0
    for _ in range(TRIALS - 2):
        executor.retry(claim(bank))
    assert executor.execute(deliveries[1:], grouped=True, go_on=always) == []
    clock.now += 100.0
    bank.between = lambda event: None
    clock.now += 100.0
    assert executor.retry(claim(bank)) is None
    assert breaker.closed
    assert len(executor.execute(deliveries[1:], grouped=False, go_on=always)) == 5


def test_while_it_is_open_a_claimed_failure_goes_back_untried_and_uncounted(bank: Any, clock: Clock) -> None:
    (delivery,) = accounts(bank, 1)
    bank.fails = {"a0"}
    breaker = Breaker("LedgerProjector", THREE, clock)
    executor = executor_of(bank, breaker, policy=RetryPolicy(base_delay=0.0))
    executor.execute([delivery], grouped=False, go_on=always)
    breaker._circuit = Circuit(openings=1, open_until=clock.now + 5.0)
    claimed = claim(bank)
    left = executor.retry(claimed)
    assert (left.attempts, left.last_failed_at) == (1, claimed.last_failed_at)
    assert left.due_at > utc_now() + timedelta(seconds=4)
    assert len(bank.calls) == 1


@pytest.mark.parametrize("grouped", [False, True])
def test_duplicates_blocked_unreadable_and_newer_messages_say_nothing(bank: Any, clock: Clock, grouped: bool) -> None:
    first, *deliveries = accounts(bank, 6)
    breaker = Breaker("LedgerProjector", BreakerSettings(failures=1), clock)
    executor = executor_of(bank, breaker)
    executor.execute([first], grouped=False, go_on=always)
    newer = dataclasses.replace(deliveries[0], payload=deliveries[0].payload.replace(b'"version":1', b'"version":9'))
    garbage = dataclasses.replace(deliveries[1], payload=b"garbage")
    dead_processes = dataclasses.replace(deliveries[2], suspected=True)
    for delivery in (first, newer, deliveries[0], garbage, dead_processes):
        executor.execute([delivery, first], grouped=grouped, go_on=always)
        assert breaker.closed
    breaker._circuit = Circuit(failed=frozenset({"x"}))
    executor.execute([first, deliveries[0]], grouped=grouped, go_on=always)  # a duplicate, and one that is blocked
    assert breaker._circuit.failed == {"x"}


def test_a_trial_that_is_a_duplicate_is_followed_by_another(bank: Any, clock: Clock) -> None:
    first, second = accounts(bank, 2)
    breaker = Breaker("LedgerProjector", THREE, clock)
    executor = executor_of(bank, breaker)
    executor.execute([first], grouped=False, go_on=always)
    breaker._circuit = Circuit(openings=1, open_until=clock.now)
    assert len(executor.execute([first, second], grouped=True, go_on=always)) == 1
    assert not breaker.closed
    assert len(executor.execute([second], grouped=True, go_on=always)) == 1
    assert breaker.closed


def test_a_trial_that_the_database_breaks_off_is_over(bank: Any, clock: Clock) -> None:
    (delivery,) = accounts(bank, 1)

    def broken(event: Any) -> None:
        raise DatabaseUnavailableError("gone")

    bank.between = broken
    breaker = Breaker("LedgerProjector", THREE, clock)
    breaker._circuit = Circuit(openings=1, open_until=clock.now)
    executor = executor_of(bank, breaker)
    with pytest.raises(DatabaseUnavailableError):
        executor.execute([delivery], grouped=False, go_on=always)
    assert breaker.enter() is Passing.ONE


def test_bad_messages_among_good_ones_open_nothing(bank: Any, clock: Clock) -> None:
    deliveries = accounts(bank, 40)
    bank.fails = {f"a{number}" for number in range(40) if number % 3}
    random.Random(3).shuffle(deliveries)
    breaker = Breaker("LedgerProjector", BreakerSettings(failures=20), clock)
    executor = executor_of(bank, breaker)
    outcomes = executor.execute(deliveries, grouped=False, go_on=always)
    assert len(outcomes) == 40
    assert breaker.closed


class TestRetries:
    """The retrier: what it claims, in which order, and what an attempt is."""

    def retrier(self, bank: Any, *executors: Executor) -> Retrier:
        named = {executor._handler.name: executor for executor in executors}
        return Retrier(bank.domain.database(), None, named, lambda failure: None)

    def fail(self, bank: Any, executor: Executor, names: list[str]) -> None:
        for name in names:
            bank.open(name)
            bank.rename(name, "Ann")
            executor.execute(bank.deliveries(name), grouped=False, go_on=always)

    def test_nothing_is_claimed_for_a_handler_whose_breaker_is_open(self, bank: Any, clock: Clock) -> None:
        breaker = Breaker("LedgerProjector", THREE, clock)
        ledger, postman = executor_of(bank, breaker), bank.executor("Postman", EAGER)
        bank.fails = {"a", "post a"}
        self.fail(bank, ledger, ["a"])
        postman.execute(bank.deliveries("a"), grouped=False, go_on=always)
        breaker._circuit = Circuit(openings=1, open_until=clock.now + 5.0)
        bank.fails = set()
        before = {each.handler: each for each in failures(bank)}
        self.retrier(bank, ledger, postman).drain(threading.Event())
        assert failures(bank) == [before["LedgerProjector"]]

    def test_one_failure_of_a_handler_does_not_wait_behind_all_of_another(self, bank: Any) -> None:
        ledger, postman = bank.executor("LedgerProjector", EAGER), bank.executor("Postman", EAGER)
        names = [f"a{number}" for number in range(3 * TURN)]
        bank.fails = {*names, "post last"}
        self.fail(bank, ledger, names)
        self.fail(bank, postman, ["last"])
        bank.fails, bank.calls[:] = set(), []
        self.retrier(bank, ledger, postman).drain(threading.Event())
        assert failures(bank) == []
        order = [name for name, _ in bank.calls]
        assert order.index("post last") <= 2 * TURN + 1  # two calls an account: opened, renamed

    def test_an_attempt_that_the_database_broke_off_is_given_back(self, bank: Any) -> None:
        ledger = bank.executor("LedgerProjector", RetryPolicy(base_delay=0.0))
        bank.fails = {"a"}
        self.fail(bank, ledger, ["a"])
        bank.fails = set()

        def gone(event: Any) -> None:
            raise DatabaseUnavailableError("the connection broke")

        bank.between = gone
        retrier = self.retrier(bank, ledger)
        for _ in range(5):
            with pytest.raises(DatabaseUnavailableError):
                retrier.drain(threading.Event())
        bank.between = lambda event: None
        retrier.drain(threading.Event())
        assert failures(bank) == []
        assert bank.applied("a") == [0, 1]

    def test_losing_every_race_is_no_attempt_and_never_a_dead_letter(self, bank: Any) -> None:
        ledger = bank.executor("LedgerProjector", EAGER)
        bank.open("a")

        def deadlock(event: Any) -> None:
            raise TransientDatabaseError("deadlock detected")

        bank.between = deadlock
        (outcome,) = ledger.execute(bank.deliveries("a"), grouped=False, go_on=always)
        assert (outcome.verdict, outcome.failure.attempts) == (Verdict.RETRY, 0)
        for _ in range(4):
            left = ledger.retry(claim(bank, 0.0))
            assert (left.state, left.attempts) == (FailureState.WAITING, 0)
        assert left.error == "deadlock detected"
        bank.between = lambda event: None
        assert ledger.retry(claim(bank)) is None
        assert bank.applied("a") == [0]

    def test_waiting_for_newer_code_is_no_attempt_so_that_the_newer_code_has_all_of_them(self, bank: Any) -> None:
        bank.open("a")
        (delivery,) = bank.deliveries("a")
        newer = dataclasses.replace(delivery, payload=delivery.payload.replace(b'"version":1', b'"version":9'))
        ledger = bank.executor("LedgerProjector", EAGER)
        (outcome,) = ledger.execute([newer], grouped=False, go_on=always)
        (waiting,) = failures(bank, FailureFilter(state=FailureState.WAITING))
        assert (outcome.failure.attempts, waiting.error_type) == (0, "UnknownTypeError")
        assert "it waits for a newer one" in waiting.error

    def test_a_message_that_nobody_came_back_from_is_dead_when_no_attempt_is_left(self, bank: Any) -> None:
        ledger = bank.executor("LedgerProjector", EAGER)
        bank.fails = {"a"}
        self.fail(bank, ledger, ["a"])
        claim(bank, 0.0)  # and the process dies
        calls = len(bank.calls)
        left = ledger.retry(claim(bank))
        assert (left.state, left.error_type, left.attempts) == (FailureState.DEAD, "HandlerDiedError", 2)
        assert "attempt 2 was begun and never ended" in left.error
        assert len(bank.calls) == calls
