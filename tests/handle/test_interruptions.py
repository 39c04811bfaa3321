"""Database sessions that end under a handler: whose fault that is, and what becomes of the message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from tests.support.bank import Bank, build_bank
from tests.support.sessions import TRIGGERS, ending

from protean.exceptions import SessionLostError
from protean.handle.executor import Executor
from protean.handle.interruptions import BUDGET, REMEMBERED, WARY_FOR, Interruptions
from protean.handle.retry import RetryPolicy
from protean.message import Message
from protean.ports.handling import Delivery, Outcome, Verdict
from protean.ports.progress import Failure, FailureFilter, FailureState

#: Due again at once, and final after the second attempt.
TWICE = RetryPolicy(max_retries=1, base_delay=0.0)


def messages(*ids: str) -> list[Message]:
    return [cast("Message", SimpleNamespace(id=each)) for each in ids]


class TestWhoIsToBlame:
    def test_a_message_under_which_session_after_session_ends(self) -> None:
        interruptions = Interruptions()
        assert [interruptions.too_many(messages("a")) for _ in range(BUDGET)] == [False] * (BUDGET - 1) + [True]

    def test_nobody_whose_handler_had_not_been_called(self) -> None:
        interruptions = Interruptions()
        assert not any(interruptions.too_many([]) for _ in range(BUDGET * 10))
        assert not interruptions.wary

    def test_nobody_among_several_but_then_they_are_taken_one_by_one(self) -> None:
        interruptions = Interruptions()
        assert not any(interruptions.too_many(messages("a", "b")) for _ in range(BUDGET * 10))
        assert interruptions.wary
        for number in range(WARY_FOR):
            interruptions.over(str(number), applied=True)
        assert not interruptions.wary

    def test_what_was_handled_in_between_begins_anew(self) -> None:
        interruptions = Interruptions()
        for _ in range(3):
            assert not any(interruptions.too_many(messages("a")) for _ in range(BUDGET - 1))
            interruptions.over("a", applied=True)

    def test_not_more_are_remembered_than_a_process_can_hold(self) -> None:
        interruptions = Interruptions()
        for number in range(REMEMBERED * 2):
            interruptions.too_many(messages(str(number)))
        assert len(interruptions._counts) == REMEMBERED


@dataclass
class Lane:
    """Hands over as a subscription does: after a session's end the same again."""

    bank: Bank
    executor: Executor
    grouped: bool = False
    losses: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    def serve(self, deliveries: Sequence[Delivery], *, at_most: int = 50) -> None:
        waiting = list(deliveries)
        while waiting:
            try:
                done = self.executor.execute(waiting, grouped=self.grouped, go_on=lambda: True)
            except SessionLostError:
                self.losses += 1
                assert self.losses <= at_most, "the lane is held for ever"
                continue
            self.outcomes += done
            waiting = waiting[len(done) :]

    def retry(self) -> tuple[Failure | None, int]:
        """One attempt at what is due; what is left of it, and how many sessions it took."""
        for losses in range(50):
            transaction = self.bank.domain.database().transaction()
            (failure,) = transaction.failures.claim(FailureFilter(state=FailureState.WAITING), 1, 30.0)
            transaction.commit()
            try:
                return self.executor.retry(failure), losses
            except SessionLostError:
                transaction = self.bank.domain.database().transaction()
                assert transaction.failures.give_back(failure, failure.first_failed_at)
                transaction.commit()
        raise AssertionError("it is retried for ever")


@pytest.fixture
def bank(database_url: str) -> Iterator[Bank]:
    """On PostgreSQL: nothing else has sessions."""
    bank = build_bank(
        {
            "databases": {"default": {"provider": "postgresql", "database_uri": database_url}},
            "brokers": {"default": {"provider": "memory"}},
            "event_processing": "async",
        }
    )
    with bank.domain.domain_context():
        yield bank
    bank.domain.close()


def arrange(bank: Bank, database_url: str, when: str) -> None:
    """From now on the sessions of account a's handlers end."""
    if when == "in the handler":
        bank.between = ending("a")
        return
    with admin(database_url) as connection:
        connection.execute(TRIGGERS[when])


def admin(database_url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True)


def failures(bank: Bank) -> list[Failure]:
    transaction = bank.domain.database().transaction()
    try:
        return transaction.failures.find(FailureFilter(), 10)
    finally:
        transaction.rollback()


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("when", ["in the handler", "when its rows are written", "at the commit"])
def test_a_message_whose_session_always_ends_becomes_a_failure_and_then_a_dead_letter(
    bank: Bank, database_url: str, when: str, grouped: bool
) -> None:
    for name in ("a", "b"):
        bank.open(name)
        bank.deposit(name)
    arrange(bank, database_url, when)
    lane = Lane(bank, bank.executor(policy=TWICE), grouped)
    deliveries = [item for pair in zip(bank.deliveries("b"), bank.deliveries("a"), strict=True) for item in pair]
    lane.serve(deliveries)

    assert [outcome.verdict for outcome in lane.outcomes] == [
        *(Verdict.HANDLED, Verdict.RETRY, Verdict.HANDLED, Verdict.BLOCKED),
    ]
    assert BUDGET - 1 <= lane.losses <= BUDGET
    assert (bank.applied("a"), bank.applied("b")) == ([], [0, 1])
    (failure,) = failures(bank)
    assert (failure.attempts, failure.error_type) == (1, "SessionLostError")
    assert "terminating connection due to administrator command" in failure.error
    assert "5 transactions were broken off, one after the other" in failure.traceback

    left, losses = lane.retry()
    assert left is not None
    assert (left.state, left.attempts, left.error_type) == (FailureState.DEAD, 2, "SessionLostError")
    assert BUDGET - 1 <= losses <= BUDGET
    assert bank.position("a") == (-1, True)


def test_a_handler_without_an_order_of_its_own_gives_such_a_message_up_as_well(bank: Bank, database_url: str) -> None:
    for name in ("a", "b"):
        bank.open(name)
        bank.rename(name, "Ann")
    arrange(bank, database_url, "at the commit of another handler")
    lane = Lane(bank, bank.executor("Postman", TWICE))
    lane.serve(bank.deliveries("a"))
    left, _ = lane.retry()
    assert [outcome.verdict for outcome in lane.outcomes] == [Verdict.HANDLED, Verdict.RETRY]
    assert left is not None
    assert (left.state, left.attempts) == (FailureState.DEAD, 2)
    with admin(database_url) as connection:
        connection.execute("DROP TRIGGER ends ON inbox")
    lane.serve(bank.deliveries("b"))
    assert lane.outcomes[-1].applied == 1


@pytest.mark.parametrize("when", ["in the handler", "when its rows are written"])
def test_of_a_gap_that_is_closed_the_message_that_ends_sessions_is_found(
    bank: Bank, database_url: str, when: str
) -> None:
    bank.open("a")
    for _ in range(8):
        bank.deposit("a")
    if when == "in the handler":
        bank.between = ending("a", 3)
    else:
        with admin(database_url) as connection:
            connection.execute(
                TRIGGERS[when].replace("NEW.account_id = 'a'", "NEW.account_id = 'a' AND NEW.applied::text LIKE '%3%'")
            )
    *_, last = bank.deliveries("a")
    lane = Lane(bank, bank.executor())
    lane.serve([last])
    (outcome,) = lane.outcomes
    assert outcome.failure is not None
    assert outcome.failure.message_id == bank.log("a")[3].id
    assert bank.applied("a") == [0, 1, 2]
    assert bank.position("a") == (2, True)


def test_sessions_that_end_before_the_handler_is_called_are_waited_out_however_many(
    bank: Bank, database_url: str
) -> None:
    bank.open("a")
    arrange(bank, database_url, "before the handler")
    lane = Lane(bank, bank.executor())
    with pytest.raises(AssertionError, match="held for ever"):
        lane.serve(bank.deliveries("a"), at_most=BUDGET * 3)
    with admin(database_url) as connection:
        connection.execute("DROP TRIGGER ends ON positions")
    lane.serve(bank.deliveries("a"), at_most=BUDGET * 3 + 1)
    assert failures(bank) == []
    assert bank.applied("a") == [0]


def test_as_many_as_a_message_may_cost_cost_it_nothing_when_its_handler_was_not_called(
    bank: Bank, database_url: str
) -> None:
    bank.open("a")
    arrange(bank, database_url, "before the handler, five times")
    lane = Lane(bank, bank.executor())
    lane.serve(bank.deliveries("a"))
    assert lane.losses == BUDGET
    assert [outcome.verdict for outcome in lane.outcomes] == [Verdict.HANDLED]
    assert failures(bank) == []


def test_a_session_that_ends_now_and_then_costs_no_message_an_attempt(bank: Bank) -> None:
    names = [f"a{number}" for number in range(20)]
    for name in names:
        bank.open(name)
    ended: list[str] = []

    def now_and_then(event: Any) -> None:
        if ended.count(event.account_id) < BUDGET - 1:
            ended.append(event.account_id)
            ending(event.account_id)(event)

    bank.between = now_and_then
    lane = Lane(bank, bank.executor(), grouped=True)
    lane.serve([delivery for name in names for delivery in bank.deliveries(name)], at_most=500)
    assert len(ended) == 20 * (BUDGET - 1)
    assert failures(bank) == []
    assert all(bank.applied(name) == [0] for name in names)
