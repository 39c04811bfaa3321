"""A handler without an order of its own handles each message once, and retries it alone."""

from __future__ import annotations

from typing import Any

from protean.handle.retry import RetryPolicy
from protean.ports.handling import Verdict
from protean.ports.progress import FailureFilter, FailureState


def always() -> bool:
    return True


def test_a_message_delivered_twice_is_handled_once(bank: Any) -> None:
    bank.open("a")
    bank.rename("a", "Ann")
    deliveries = bank.deliveries("a") * 2
    bank.executor("Postman").execute(deliveries, grouped=True, go_on=always)
    assert bank.calls == [("post a", 1)]


def test_a_failed_message_is_retried_and_does_not_hold_up_the_next(bank: Any) -> None:
    bank.open("a")
    bank.rename("a", "Ann")
    bank.rename("a", "Bea")
    bank.fails = {"post a"}
    postman = bank.executor("Postman", RetryPolicy(max_retries=1, base_delay=0.0))
    outcomes = postman.execute(bank.deliveries("a"), grouped=False, go_on=always)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.HANDLED, Verdict.RETRY, Verdict.RETRY]
    bank.fails = set()
    transaction = bank.domain.database().transaction()
    claimed = transaction.failures.claim(FailureFilter(state=FailureState.WAITING), 10, 30.0)
    transaction.commit()
    assert [postman.retry(failure) for failure in claimed] == [None, None]
    assert len(bank.calls) == 4
    outcomes = postman.execute(bank.deliveries("a"), grouped=False, go_on=always)
    assert [outcome.applied for outcome in outcomes] == [0, 0, 0]


def test_an_attempt_counts_before_the_handler_runs(bank: Any) -> None:
    bank.open("a")
    bank.rename("a", "Ann")
    bank.fails = {"post a"}
    postman = bank.executor("Postman", RetryPolicy(base_delay=0.0))
    postman.execute(bank.deliveries("a"), grouped=False, go_on=always)
    transaction = bank.domain.database().transaction()
    (failure,) = transaction.failures.claim(FailureFilter(), 10, 0.0)
    transaction.commit()
    # The process dies here. Whoever comes next finds the attempt counted.
    transaction = bank.domain.database().transaction()
    (again,) = transaction.failures.claim(FailureFilter(), 10, 0.0)
    transaction.commit()
    assert (failure.attempts, again.attempts) == (2, 3)


def test_a_copy_of_a_dead_message_does_not_bring_it_back_to_life(bank: Any) -> None:
    bank.open("a")
    bank.rename("a", "Ann")
    bank.fails = {"post a"}
    postman = bank.executor("Postman", RetryPolicy(max_retries=0))
    first = postman.execute(bank.deliveries("a"), grouped=False, go_on=always)
    second = postman.execute(bank.deliveries("a"), grouped=False, go_on=always)
    transaction = bank.domain.database().transaction()
    (failure,) = transaction.failures.find(FailureFilter(), 10)
    transaction.rollback()
    assert [outcome.verdict for outcome in (first[1], second[1])] == [Verdict.DEAD, Verdict.DEAD]
    assert (failure.state, failure.attempts) == (FailureState.DEAD, 1)
