"""`process_many`: many commands in few transactions, and one bad record costs itself alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.bank import Bank

from protean import UnitOfWork
from protean.exceptions import ConfigurationError, InvalidOperationError, ObjectNotFoundError, ValidationError
from protean.message import Message
from protean.priority import Priority


def balances(bank: Bank) -> dict[str, int]:
    return {account.id: account.balance for account in bank.domain.repository_for(bank.account).query.all()}


def history(bank: Bank, account: str) -> list[Message]:
    return bank.log(account)


def test_every_command_has_its_effect_and_its_event(bank: Bank) -> None:
    opened = bank.domain.process_many([bank.Open(account_id=f"a{number}") for number in range(25)], batch_size=10)
    done = bank.domain.process_many(
        [bank.Deposit(account_id=f"a{number % 25}", amount=number) for number in range(50)], batch_size=10
    )

    assert (opened.handled, done.handled, opened.failed, done.failed) == (25, 50, (), ())
    assert balances(bank) == {f"a{number}": number + number + 25 for number in range(25)}
    assert [message.position for message in history(bank, "a3")] == [0, 1, 2]


def test_commands_for_one_aggregate_in_one_batch_build_on_each_other(bank: Bank) -> None:
    bank.open("a")

    bank.domain.process_many([bank.Deposit(account_id="a", amount=2)] * 7)

    assert balances(bank) == {"a": 14}
    assert [message.data.get("number") for message in history(bank, "a")] == [None, 1, 2, 3, 4, 5, 6, 7]


def test_each_command_is_the_cause_of_its_own_events(bank: Bank) -> None:
    bank.domain.process_many(
        [bank.Open(account_id="a"), bank.Open(account_id="b")], priority=Priority.LOW, correlation_id="import-7"
    )

    first, second = history(bank, "a")[0], history(bank, "b")[0]
    assert first.causation_id != second.causation_id
    assert {first.correlation_id, second.correlation_id} == {"import-7"}
    assert {first.priority, second.priority} == {Priority.LOW}


def test_one_bad_command_costs_itself_alone(bank: Bank) -> None:
    commands = [
        bank.Open(account_id="a"),
        bank.Deposit(account_id="nobody"),
        bank.Break(account_id="a"),
        bank.Deposit(account_id="a", amount=5),
        bank.Open(account_id="b"),
    ]

    done = bank.domain.process_many(commands)

    assert done.handled == 3
    assert [(failed.index, failed.command, type(failed.error)) for failed in done.failed] == [
        (1, commands[1], ObjectNotFoundError),
        (2, commands[2], ValidationError),
    ]
    assert balances(bank) == {"a": 5, "b": 0}
    assert [message.type for message in history(bank, "a")] == ["Opened", "Deposited"]


def test_a_key_that_is_taken_is_found_by_the_database_and_told_of_its_command(bank: Bank) -> None:
    bank.open("b")

    done = bank.domain.process_many([bank.Open(account_id=name) for name in "abc"])

    assert (done.handled, [failed.index for failed in done.failed]) == (2, [1])
    assert set(balances(bank)) == {"a", "b", "c"}


def test_a_batch_that_loses_a_race_is_repeated_and_loses_nothing(bank: Bank, together: Callable[..., None]) -> None:
    bank.domain.process_many([bank.Open(account_id=name) for name in "abcd"])
    begin = threading.Barrier(2)

    def deposit() -> None:
        with bank.domain.domain_context():
            begin.wait()
            for _ in range(5):
                done = bank.domain.process_many([bank.Deposit(account_id=name) for name in "abcd" for _ in range(3)])
                assert done.failed == ()

    together(deposit, deposit)

    assert balances(bank) == dict.fromkeys("abcd", 30)
    assert [message.position for message in history(bank, "c")] == list(range(31))


def test_with_keys_the_whole_may_be_repeated(bank: Bank) -> None:
    bank.open("a")
    commands = [bank.Deposit(account_id="a", amount=number) for number in range(1, 5)]

    for _ in range(3):
        bank.domain.process_many(commands, idempotency_key=lambda command: f"import-{command.amount}")

    assert balances(bank) == {"a": 10}


def test_the_commands_are_taken_a_batch_at_a_time(bank: Bank) -> None:
    seen: list[int] = []

    def commands() -> Iterator[Any]:
        for number in range(6):
            seen.append(len(balances(bank)))
            yield bank.Open(account_id=f"a{number}")

    bank.domain.process_many(commands(), batch_size=2)

    assert seen == [0, 0, 2, 2, 4, 4]


def test_it_stops_after_too_many_failures_and_says_what_stands(bank: Bank) -> None:
    commands = [bank.Open(account_id="a"), *[bank.Deposit(account_id="nobody") for _ in range(9)]]

    with pytest.raises(InvalidOperationError, match="3 commands failed, the last with ObjectNotFoundError") as caught:
        bank.domain.process_many(commands, most_failed=3)

    assert caught.value.__notes__ == ["handled before it: 1 command; failed: 3"]
    assert balances(bank) == {"a": 0}


def test_it_begins_transactions_of_its_own(bank: Bank) -> None:
    with UnitOfWork(bank.domain), pytest.raises(InvalidOperationError, match="inside a unit of work"):
        bank.domain.process_many([bank.Open(account_id="a")])


@pytest.mark.parametrize("option", ["batch_size", "most_failed"])
def test_misuse_is_told(bank: Bank, option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} must be at least 1, not 0"):
        bank.domain.process_many([], **{option: 0})
    with pytest.raises(InvalidOperationError, match="takes commands, not 7"):
        bank.domain.process_many([7])
