"""Services: use cases are a transaction each, domain services are plain classes that the domain knows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.support.bank import Bank

from protean import UnitOfWork, current_domain, use_case
from protean.exceptions import ConfigurationError, InvalidOperationError


def transfers(bank: Bank) -> Any:
    @bank.domain.domain_service(part_of=["Account"])
    class Exchange:
        def move(self, source: Any, target: Any, amount: int) -> None:
            source.balance -= amount
            target.balance += amount

    @bank.domain.application_service(part_of=bank.account)
    class Transfers:
        @use_case
        def transfer(self, source: str, target: str, amount: int, *, then: Callable[[], None] = lambda: None) -> int:
            accounts = current_domain.repository_for(bank.account)
            giver, taker = accounts.get(source), accounts.get(target)
            Exchange().move(giver, taker, amount)
            then()
            return int(giver.balance)

    bank.domain.init()
    return Transfers()


def balances(bank: Bank) -> list[int]:
    return [bank.domain.repository_for(bank.account).get(name).balance for name in "ab"]


@pytest.fixture
def open_bank(bank: Bank) -> Bank:
    bank.open("a")
    bank.open("b")
    return bank


def test_a_use_case_saves_all_it_did_and_returns_its_result(open_bank: Bank) -> None:
    assert transfers(open_bank).transfer("a", "b", 5) == -5
    assert balances(open_bank) == [-5, 5]


def test_a_use_case_that_fails_saves_nothing(open_bank: Bank) -> None:
    def fail() -> None:
        raise RuntimeError("the line is dead")

    with pytest.raises(RuntimeError):
        transfers(open_bank).transfer("a", "b", 5, then=fail)
    assert balances(open_bank) == [0, 0]


def test_inside_a_unit_of_work_it_belongs_to_that_one(open_bank: Bank) -> None:
    service = transfers(open_bank)
    with suppress(RuntimeError), UnitOfWork():
        service.transfer("a", "b", 5)
        raise RuntimeError("the whole is given up")
    assert balances(open_bank) == [0, 0]


def test_use_cases_that_race_for_an_aggregate_all_take_effect(open_bank: Bank, together: Callable[..., None]) -> None:
    service = transfers(open_bank)

    def five() -> None:
        with open_bank.domain.domain_context():
            for _ in range(5):
                service.transfer("a", "b", 1)

    together(five, five)
    assert balances(open_bank) == [-10, 10]


def test_outside_of_a_domain_it_says_what_to_do() -> None:
    @use_case
    def lost() -> None:
        raise AssertionError("not reached")

    with pytest.raises(InvalidOperationError, match="domain_context"):
        lost()


def test_a_use_case_is_plain_code() -> None:
    async def later() -> None: ...

    with pytest.raises(ConfigurationError, match="plain code"):
        use_case(later)


def test_a_service_says_what_it_is_part_of_and_offers_something(bank: Bank) -> None:
    with pytest.raises(ConfigurationError, match="Idle offers nothing; mark its methods with @use_case"):
        bank.domain.application_service(part_of=bank.account)(type("Idle", (), {}))
    bank.domain.domain_service(type("Homeless", (), {}))
    with pytest.raises(ConfigurationError, match="does not say `part_of`"):
        bank.domain.init()
