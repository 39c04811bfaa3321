"""A sequenced handler applies each stream in order and once, whatever is delivered when."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any

import pytest

from protean.exceptions import ExpectedVersionError, TransientDatabaseError
from protean.handle.retry import RetryPolicy
from protean.ports.handling import Verdict
from protean.ports.progress import FailureFilter, FailureState

EAGER = RetryPolicy(max_retries=1, base_delay=0.0)


def always() -> bool:
    return True


def execute(bank: Any, deliveries: Any, *, grouped: bool = False, executor: Any = None) -> list[Any]:
    """Hand over until everything has an outcome, as a subscription does."""
    executor = executor or bank.executor()
    outcomes: list[Any] = []
    while len(outcomes) < len(deliveries):
        outcomes += executor.execute(deliveries[len(outcomes) :], grouped=grouped, go_on=always)
    return outcomes


def account_with(bank: Any, deposits: int, name: str = "a") -> str:
    bank.open(name)
    for _ in range(deposits):
        bank.deposit(name)
    return name


def due_failures(bank: Any) -> list[Any]:
    transaction = bank.domain.database().transaction()
    try:
        claimed = transaction.failures.claim(FailureFilter(state=FailureState.WAITING), 10, 30.0)
        transaction.commit()
        return list(claimed)
    finally:
        transaction.rollback()


@pytest.mark.parametrize("grouped", [False, True])
def test_messages_in_order_are_applied_one_after_the_other(bank: Any, grouped: bool) -> None:
    account = account_with(bank, 4)
    outcomes = execute(bank, bank.deliveries(account), grouped=grouped)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.HANDLED] * 5
    assert bank.applied(account) == [0, 1, 2, 3, 4]
    assert bank.position(account) == (4, False)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_message_delivered_again_is_applied_once(bank: Any, grouped: bool) -> None:
    account = account_with(bank, 2)
    deliveries = bank.deliveries(account)
    execute(bank, [*deliveries, *deliveries, deliveries[0]], grouped=grouped)
    assert bank.applied(account) == [0, 1, 2]


@pytest.mark.parametrize("grouped", [False, True])
def test_a_message_that_overtook_earlier_ones_brings_them_along_from_the_log(bank: Any, grouped: bool) -> None:
    account = account_with(bank, 4)
    deliveries = bank.deliveries(account)
    outcomes = execute(bank, [deliveries[3], *deliveries], grouped=grouped)
    assert bank.applied(account) == [0, 1, 2, 3, 4]
    assert outcomes[0].applied == 4
    assert [outcome.applied for outcome in outcomes[1:]] == [0, 0, 0, 0, 1]


def test_a_gap_of_many_pages_is_closed_page_by_page(bank: Any) -> None:
    account = account_with(bank, 250)
    outcomes = execute(bank, bank.deliveries(account)[-1:], grouped=True)
    assert bank.applied(account) == list(range(251))
    assert outcomes[0].verdict is Verdict.HANDLED


@pytest.mark.parametrize("grouped", [False, True])
def test_every_order_of_delivery_ends_in_the_same_projection(bank: Any, grouped: bool) -> None:
    accounts = [account_with(bank, 5, name) for name in ("a", "b", "c")]
    deliveries = [delivery for account in accounts for delivery in bank.deliveries(account)] * 2
    random.Random(7).shuffle(deliveries)
    execute(bank, deliveries, grouped=grouped)
    assert {account: bank.applied(account) for account in accounts} == {name: [0, 1, 2, 3, 4, 5] for name in "abc"}


def test_ignored_types_cost_no_write_and_leave_no_hole(bank: Any) -> None:
    bank.open("a")
    bank.deposit("a")
    bank.rename("a", "Ann")
    deliveries = bank.deliveries("a")
    owners = bank.executor("OwnerProjector")
    execute(bank, deliveries[:2], executor=owners)
    transaction = bank.domain.database().transaction()
    with_no_row = transaction.positions.lock("OwnerProjector", ["account-a"])["account-a"].position
    transaction.rollback()
    execute(bank, deliveries[2:], executor=owners)
    row = bank.domain.repository_for(bank.owners).get("a")
    assert (with_no_row, row.owner, row.renames) == (-1, "Ann", 1)


def test_a_failure_undoes_its_own_effects_and_is_written_down(bank: Any) -> None:
    account = account_with(bank, 2)
    bank.fails = {"a:1"}
    outcomes = execute(bank, bank.deliveries(account)[:2])
    failure = outcomes[1].failure
    assert outcomes[1].verdict is Verdict.RETRY
    assert (failure.error_type, failure.error, failure.attempts) == ("ValueError", "cannot book 1", 1)
    assert 'raise ValueError(f"cannot book {number}")' in failure.traceback
    assert bank.applied(account) == [0]
    assert bank.position(account) == (0, True)


@pytest.mark.parametrize("grouped", [False, True])
def test_later_messages_of_the_aggregate_wait_and_other_aggregates_go_on(bank: Any, grouped: bool) -> None:
    for name in ("a", "b"):
        account_with(bank, 3, name)
    bank.fails = {"a:1"}
    deliveries = [item for pair in zip(bank.deliveries("a"), bank.deliveries("b"), strict=True) for item in pair]
    outcomes = execute(bank, deliveries, grouped=grouped)
    verdicts_of_a = [outcome.verdict for outcome in outcomes[::2]]
    assert verdicts_of_a == [Verdict.HANDLED, Verdict.RETRY, Verdict.BLOCKED, Verdict.BLOCKED]
    assert bank.applied("a") == [0]
    assert bank.applied("b") == [0, 1, 2, 3]


def test_what_waits_behind_a_failure_burns_no_attempts(bank: Any) -> None:
    account = account_with(bank, 3)
    bank.fails = {"a:1"}
    execute(bank, bank.deliveries(account)[:2])
    bank.calls.clear()
    execute(bank, bank.deliveries(account)[2:])
    assert bank.calls == []


def test_the_block_is_lifted_only_at_the_end_of_the_log(bank: Any) -> None:
    account = account_with(bank, 130)
    bank.fails = {"a:1"}
    executor = bank.executor(policy=EAGER)
    execute(bank, bank.deliveries(account), executor=executor)
    bank.fails = set()
    (failure,) = due_failures(bank)
    assert executor.retry(failure) is None
    assert bank.applied(account) == list(range(131))
    assert bank.position(account) == (130, False)


def test_a_hole_in_the_log_is_a_dead_letter_that_names_it_and_never_skipped(bank: Any) -> None:
    account = account_with(bank, 3)
    (last,) = bank.deliveries(account)[-1:]
    beyond = last.payload.replace(b'"position":3', b'"position":7')
    (outcome,) = execute(bank, [type(last)("1-1", "account", "primary", beyond)])
    assert outcome.failure.error_type == "HistoryRemovedError"
    assert "account-a" in outcome.failure.error
    assert bank.applied(account) == []


def test_a_retry_applies_what_failed_and_everything_that_waited_behind_it(bank: Any) -> None:
    account = account_with(bank, 3)
    bank.fails = {"a:1"}
    executor = bank.executor(policy=EAGER)
    execute(bank, bank.deliveries(account), executor=executor)
    bank.fails = set()
    (failure,) = due_failures(bank)
    assert executor.retry(failure) is None
    assert bank.applied(account) == [0, 1, 2, 3]
    assert bank.position(account) == (3, False)
    assert due_failures(bank) == []


def test_a_retry_that_fails_later_on_blocks_there(bank: Any) -> None:
    account = account_with(bank, 4)
    bank.fails = {"a:1"}
    executor = bank.executor(policy=EAGER)
    execute(bank, bank.deliveries(account), executor=executor)
    bank.fails = {"a:3"}
    (failure,) = due_failures(bank)
    left = executor.retry(failure)
    assert left.message_id == bank.log(account)[3].id
    assert bank.applied(account) == [0, 1, 2]
    assert bank.position(account) == (2, True)


def test_after_the_last_retry_a_message_is_dead_and_its_aggregate_stays_blocked(bank: Any) -> None:
    account = account_with(bank, 2)
    bank.fails = {"a:1"}
    executor = bank.executor(policy=EAGER)
    execute(bank, bank.deliveries(account)[:2], executor=executor)
    (failure,) = due_failures(bank)
    left = executor.retry(failure)
    assert (left.state, left.attempts) == (FailureState.DEAD, 2)
    assert execute(bank, bank.deliveries(account)[2:])[0].verdict is Verdict.BLOCKED


def test_a_failure_inside_a_gap_keeps_what_precedes_it(bank: Any) -> None:
    account = account_with(bank, 4)
    bank.fails = {"a:2"}
    (outcome,) = execute(bank, bank.deliveries(account)[-1:])
    assert outcome.verdict is Verdict.BLOCKED
    assert outcome.failure.message_id == bank.log(account)[2].id
    assert bank.applied(account) == [0, 1]
    assert bank.position(account) == (1, True)


def test_bytes_that_nobody_can_read_are_dead_at_once_and_kept(bank: Any) -> None:
    account = account_with(bank, 1)
    good = bank.deliveries(account)
    bad = type(good[0])("9-9", "account", "primary", b"\x00 not json")
    outcomes = execute(bank, [bad, *good])
    assert outcomes[0].verdict is Verdict.DEAD
    assert outcomes[0].failure.raw == b"\x00 not json"
    assert bank.applied(account) == [0, 1]


def test_a_version_from_the_future_waits_for_newer_code(bank: Any) -> None:
    account = account_with(bank, 0)
    (delivery,) = bank.deliveries(account)
    newer = delivery.payload.replace(b'"version":1', b'"version":9')
    (outcome,) = execute(
        bank, [type(delivery)("1-1", "account", "primary", newer)], executor=bank.executor(policy=EAGER)
    )
    assert outcome.verdict is Verdict.RETRY
    assert outcome.failure.error_type == "UnknownTypeError"


def test_two_consumers_with_the_same_messages_apply_them_once(bank: Any, together: Callable[..., None]) -> None:
    accounts = [account_with(bank, 4, f"x{n}") for n in range(10)]
    deliveries = [delivery for account in accounts for delivery in bank.deliveries(account)]

    def consumer(seed: int, grouped: bool) -> Callable[[], Any]:
        mine = list(deliveries)
        random.Random(seed).shuffle(mine)

        def run() -> None:
            with bank.domain.domain_context():
                execute(bank, mine, grouped=grouped)

        return run

    together(consumer(1, True), consumer(2, True), consumer(3, False))
    assert {account: bank.applied(account) for account in accounts} == {a: [0, 1, 2, 3, 4] for a in accounts}


def test_a_group_stops_when_production_needs_the_way(bank: Any) -> None:
    account = account_with(bank, 5)
    answers = iter([True, True, False])
    executor = bank.executor()
    executor._fitting = 10
    outcomes = executor.execute(bank.deliveries(account), grouped=True, go_on=lambda: next(answers))
    assert len(outcomes) == 3
    assert bank.applied(account) == [0, 1, 2]


def test_what_a_handler_causes_has_the_priority_and_the_cause_of_its_message(bank: Any) -> None:
    from protean.priority import Priority, current_priority, processing_priority
    from protean.write.context import current_cause

    seen: list[tuple[int, Any]] = []
    bank.between = lambda event: seen.append((current_priority(), current_cause()))
    bank.open("a")
    with processing_priority(Priority.LOW):
        bank.deposit("a")
    execute(bank, bank.deliveries("a")[1:])
    log = bank.log("a")
    assert [priority for priority, _ in seen] == [Priority.NORMAL, Priority.LOW]
    assert [cause.message_id for _, cause in seen] == [message.id for message in log]


@pytest.mark.parametrize(
    ("good", "poison"),
    [
        (b'"priority":0', b'"priority":1000'),
        (b'"stream_name":"account-a"', b'"stream_name":"account-\\u0000"'),
        (b'"id":"', b'"id":"not a uuid '),
        (b'"position":0', b'"position":"first"'),
    ],
)
def test_poisoned_metadata_is_a_dead_letter_and_no_reason_to_stop(bank: Any, good: bytes, poison: bytes) -> None:
    account = account_with(bank, 0)
    (delivery,) = bank.deliveries(account)
    assert good in delivery.payload
    bad = type(delivery)("1-1", "account", "primary", delivery.payload.replace(good, poison))
    outcomes = execute(bank, [bad, delivery])
    assert [outcome.verdict for outcome in outcomes] == [Verdict.DEAD, Verdict.HANDLED]


def test_a_message_whose_processes_died_is_set_aside_unhandled(bank: Any) -> None:
    account = account_with(bank, 0)
    (delivery,) = bank.deliveries(account)
    (outcome,) = execute(bank, [dataclasses.replace(delivery, suspected=True)])
    assert (outcome.verdict, outcome.failure.error_type) == (Verdict.RETRY, "HandlerDiedError")
    assert bank.calls == []


def test_a_database_error_that_never_passes_becomes_the_messages_failure(bank: Any) -> None:
    account_with(bank, 0, "a")
    account_with(bank, 0, "b")

    def deadlock(event: Any) -> None:
        if event.account_id == "a":
            raise TransientDatabaseError("always")

    bank.between = deadlock
    outcomes = execute(bank, bank.deliveries("a") + bank.deliveries("b"), grouped=True)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.RETRY, Verdict.HANDLED]


def test_a_handler_that_always_loses_the_race_is_dead_in_the_end(bank: Any) -> None:
    account = account_with(bank, 0)

    def race(event: Any) -> None:
        raise ExpectedVersionError("somebody was faster")

    bank.between = race
    executor = bank.executor(policy=EAGER)
    execute(bank, bank.deliveries(account), executor=executor)
    (failure,) = due_failures(bank)
    assert executor.retry(failure).state is FailureState.DEAD


def test_a_group_grows_with_what_fits_and_locks_no_more_than_it_takes(bank: Any) -> None:
    accounts = [account_with(bank, 0, f"x{number}") for number in range(6)]
    deliveries = [delivery for account in accounts for delivery in bank.deliveries(account)]
    executor = bank.executor()
    taken = [len(executor.execute(deliveries[start:], grouped=True, go_on=always)) for start in (0, 1, 3)]
    assert taken == [1, 2, 3]


def test_a_retry_that_somebody_else_has_settled_changes_nothing(bank: Any) -> None:
    account = account_with(bank, 1)
    bank.fails = {"a:1"}
    executor = bank.executor(policy=EAGER)
    execute(bank, bank.deliveries(account), executor=executor)
    (failure,) = due_failures(bank)
    transaction = bank.domain.database().transaction()
    assert transaction.failures.remove(failure.handler, failure.message_id)
    transaction.commit()
    assert executor.retry(failure) is None
