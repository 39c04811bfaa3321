"""What is refused only at the commit, and what the database has no room for: its message's affair, nobody else's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from tests.support.bank import Bank, build_bank

from protean import UnitOfWork
from protean.exceptions import DatabaseUnavailableError, ResourceLimitError
from protean.handle.interruptions import BUDGET
from protean.handle.retry import RetryPolicy
from protean.ports.handling import Delivery, Outcome, Verdict
from protean.ports.progress import FailureFilter, FailureState
from protean.server.signalling import Recorder

#: Due again at once.
EAGER = RetryPolicy(base_delay=0.0)
#: Refuses ledgers, with an SQLSTATE, under a condition.
REFUSES = """
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'refused' USING ERRCODE = '{state}';
END $$;
CREATE {kind} TRIGGER refuses AFTER INSERT OR UPDATE ON ledger {when} FOR EACH ROW
    WHEN ({condition}) EXECUTE FUNCTION refuse()
"""


@pytest.fixture
def on_postgresql(database_url: str) -> Iterator[Bank]:
    """Nothing else has constraints that are deferred, or says that it has no room."""
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


def refuse(database_url: str, condition: str, *, state: str = "23514", deferred: bool = True) -> None:
    kind, when = ("CONSTRAINT", "DEFERRABLE INITIALLY DEFERRED") if deferred else ("", "")
    _execute(database_url, REFUSES.format(state=state, kind=kind, when=when, condition=condition))


def allow(database_url: str) -> None:
    _execute(database_url, "DROP TRIGGER refuses ON ledger")


def _execute(database_url: str, statement: str) -> None:
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement.encode())


def serve(executor: Any, deliveries: Sequence[Delivery], *, grouped: bool, broken_off: int = 0) -> list[Outcome]:
    """Hand over as a subscription does, which waits for a database that cannot be used: so often at most."""
    outcomes: list[Outcome] = []
    while len(outcomes) < len(deliveries):
        try:
            outcomes += executor.execute(deliveries[len(outcomes) :], grouped=grouped, go_on=lambda: True)
        except DatabaseUnavailableError:
            broken_off -= 1
            assert broken_off >= 0, "the lane is held"
    return outcomes


def retry(bank: Bank, executor: Any) -> Any:
    transaction = bank.domain.database().transaction()
    (failure,) = transaction.failures.claim(FailureFilter(state=FailureState.WAITING), 1, 30.0)
    transaction.commit()
    return executor.retry(failure)


@pytest.mark.parametrize("grouped", [False, True])
def test_what_a_deferred_constraint_refuses_is_a_failure_of_its_message_and_its_neighbours_go_on(
    on_postgresql: Bank, database_url: str, grouped: bool
) -> None:
    bank = on_postgresql
    for name in ("a", "b"):
        bank.open(name)
        bank.deposit(name)
    refuse(database_url, "NEW.account_id = 'a'")
    mixed = [item for pair in zip(bank.deliveries("b"), bank.deliveries("a"), strict=True) for item in pair]
    executor = bank.executor(policy=EAGER)

    outcomes = serve(executor, mixed, grouped=grouped)

    assert [each.verdict for each in outcomes] == [Verdict.HANDLED, Verdict.RETRY, Verdict.HANDLED, Verdict.BLOCKED]
    assert outcomes[1].failure is not None
    assert (outcomes[1].failure.error_type, outcomes[1].failure.attempts) == ("DatabaseError", 1)
    assert (bank.applied("a"), bank.applied("b")) == ([], [0, 1])
    left = retry(bank, executor)
    assert (left.message_id, left.attempts) == (outcomes[1].failure.message_id, 2)
    allow(database_url)
    assert retry(bank, executor) is None
    assert (bank.applied("a"), bank.position("a")) == ([0, 1], (1, False))


def test_what_is_refused_at_the_commit_is_told_to_nobody_as_completed(on_postgresql: Bank, database_url: str) -> None:
    bank = on_postgresql
    for name in ("a", "b"):
        bank.open(name)
    refuse(database_url, "NEW.account_id = 'a'")
    bank.domain.signals = recorder = Recorder(lambda category, _priority: category, history=True)

    serve(bank.executor(policy=EAGER), [*bank.deliveries("b"), *bank.deliveries("a")], grouped=True)

    completed = [said.message for said in recorder.said() if said.name == "handler.completed"]
    assert completed == bank.log("b")


def test_of_a_gap_that_is_closed_the_message_that_is_refused_at_the_commit_is_found_and_soon(
    on_postgresql: Bank, database_url: str
) -> None:
    bank = on_postgresql
    bank.open("a")
    for _ in range(30):
        bank.deposit("a")
    refuse(database_url, "NEW.applied::jsonb @> '[7]'")
    *_, last = bank.deliveries("a")

    (outcome,) = serve(bank.executor(policy=EAGER), [last], grouped=True)

    assert (outcome.verdict, outcome.failure and outcome.failure.message_id) == (Verdict.BLOCKED, bank.log("a")[7].id)
    assert (bank.applied("a"), bank.position("a")) == ([*range(7)], (6, True))
    assert len(bank.calls) <= 4 * 31
    bank.calls.clear()
    assert retry(bank, bank.executor(policy=EAGER)).message_id == bank.log("a")[7].id
    assert len(bank.calls) <= 2 * 31


@pytest.mark.parametrize("grouped", [False, True])
def test_a_handler_that_catches_what_spoils_its_transaction_has_failed_and_its_neighbours_go_on(
    bank: Bank, grouped: bool
) -> None:
    for name in ("a", "b"):
        bank.open(name)

    def catches(event: Any) -> None:
        if event.account_id == "a":
            with suppress(KeyError), UnitOfWork():
                raise KeyError("in a part of it")

    bank.between = catches
    outcomes = serve(bank.executor(), [*bank.deliveries("a"), *bank.deliveries("b")], grouped=grouped)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.RETRY, Verdict.HANDLED]
    assert outcomes[0].failure is not None
    assert "was caught, so nothing of it was saved" in outcomes[0].failure.error
    assert (bank.applied("a"), bank.applied("b")) == ([], [0])


@pytest.mark.parametrize("state", ["53200", "53400"], ids=["out of memory", "beyond a limit"])
def test_a_message_that_the_database_never_has_room_for_holds_the_lane_for_a_while_and_then_fails(
    on_postgresql: Bank, database_url: str, state: str
) -> None:
    bank = on_postgresql
    for name in ("a", "b"):
        bank.open(name)
    refuse(database_url, "NEW.account_id = 'a'", state=state, deferred=False)
    executor = bank.executor(policy=EAGER)

    outcomes = serve(executor, [*bank.deliveries("a"), *bank.deliveries("b")], grouped=True, broken_off=BUDGET)

    assert [outcome.verdict for outcome in outcomes] == [Verdict.RETRY, Verdict.HANDLED]
    assert outcomes[0].failure is not None
    assert outcomes[0].failure.error_type == ResourceLimitError.__name__
    allow(database_url)
    assert retry(bank, executor) is None
    assert (bank.applied("a"), bank.applied("b")) == ([0], [0])
