"""A command with an idempotency key is carried out once, and whoever sends it again gets the first result."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.support.bank import Bank

from protean import Domain, UnitOfWork, current_domain, handle
from protean.deliver import housekeeping
from protean.deliver.housekeeping import Housekeeping, Retention
from protean.exceptions import (
    DuplicateCommandError,
    ExpectedVersionError,
    InvalidOperationError,
    ValidationError,
)
from protean.fields import DateTime, Dict, Identifier, Integer, String
from protean.write.idempotency import digest_of


class Colour(StrEnum):
    RED = "red"


@dataclass
class Till:
    """`answers` is what the handler returns for a name; `calls` the names it was called with."""

    domain: Domain
    Ring: Any
    Void: Any
    receipt: Any
    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    between: Callable[[Any], None] = lambda command: None

    def ring(self, key: str | None, name: str = "a", **values: Any) -> Any:
        return self.domain.process(self.Ring(name=name, **values), idempotency_key=key)

    def receipts(self) -> int:
        return int(self.domain.repository_for(self.receipt).query.count())

    def lines(self, name: str) -> int:
        return int(self.domain.repository_for(self.receipt).get(name).lines)


@pytest.fixture
def till(bank: Bank) -> Iterator[Till]:
    """A domain of its own beside the bank, on the same database."""
    database = bank.domain.config.databases["default"]
    config = {"databases": {"default": {"provider": database.provider, "database_uri": str(database.database_uri)}}}
    domain = Domain("till", config=config)

    @domain.aggregate
    class Receipt:
        lines: Integer(default=0)

    @domain.command(part_of=Receipt)
    class Ring:
        name: String(required=True)
        note: String()
        extra: Dict()
        asked_at: DateTime(default=lambda: datetime.now(UTC))
        line: Identifier(default=lambda: str(uuid4()))

    @domain.command(part_of=Receipt)
    class Void:
        name: String(required=True)

    @domain.command_handler(part_of=Receipt)
    class Cashier:
        @handle(Ring)
        def ring(self, command: Any) -> Any:
            till.calls.append(command.name)
            receipts = current_domain.repository_for(Receipt)
            receipt = receipts.get_or_none(command.name) or Receipt(id=command.name)
            receipt.lines += 1
            receipts.add(receipt)
            till.between(command)
            return till.answers.get(command.name)

        @handle(Void)
        def void(self, command: Any) -> str:
            till.calls.append(f"void {command.name}")
            return "voided"

    domain.init()
    till = Till(domain, Ring, Void, Receipt)
    with domain.domain_context():
        yield till
    domain.close()


def test_the_second_call_with_a_key_returns_the_firsts_result_and_does_nothing(bank: Bank) -> None:
    bank.domain.process(bank.Open(account_id="a"), idempotency_key="open-a")
    assert bank.domain.process(bank.Open(account_id="a"), idempotency_key="open-a") == "a"
    for _ in range(3):
        bank.domain.process(bank.Deposit(account_id="a", amount=5), idempotency_key="deposit-1")
    bank.domain.process(bank.Deposit(account_id="a", amount=5), idempotency_key="deposit-2")
    bank.deposit("a", 5)
    assert bank.domain.repository_for(bank.account).get("a").balance == 15
    assert [message.type for message in bank.log("a")] == ["Opened", "Deposited", "Deposited", "Deposited"]


@pytest.mark.parametrize(
    "result",
    [None, True, 0, 2**70, 1.1, "", "a\0b \ud800 é", [1, [2, {"a": None}]], {"id": "x", "n": 1e300}, Colour.RED],
    ids=repr,
)
def test_whatever_json_can_hold_comes_back_as_it_was(till: Till, result: Any) -> None:
    till.answers["a"] = result
    assert till.ring("k") == result
    till.answers["a"] = "something else"
    again = till.ring("k")
    assert again == result
    assert isinstance(result, type(again))
    assert till.calls == ["a"]


def endless() -> list[Any]:
    nested: list[Any] = []
    nested.append(nested)
    return nested


def deep() -> list[Any]:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    ("result", "what"),
    [
        (float("nan"), "float: Out of range float"),
        (UUID(int=1), "UUID: Object of type UUID is not JSON serializable"),
        (datetime(2026, 1, 1, tzinfo=UTC), "datetime"),
        ((1, 2), "tuple: it comes back as something else"),
        ({1: "a"}, "dict: it comes back as something else"),
        (b"bytes", "bytes"),
        (object(), "object"),
        (endless(), "list: Circular reference"),
        (deep(), "list: "),
        ("x" * 1_000_001, "1000003 characters, more than 1000000"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) or len(value) > 99 else value,
)
def test_a_result_that_json_cannot_hold_is_refused_before_anything_is_saved(till: Till, result: Any, what: str) -> None:
    till.answers["a"] = result
    with pytest.raises(InvalidOperationError, match="is kept as JSON") as caught:
        till.ring("k")
    assert what in str(caught.value)
    assert till.receipts() == 0
    till.answers["a"] = "fine"
    assert till.ring("k") == "fine"
    assert till.ring(None) == "fine"


def test_a_key_cannot_be_used_for_another_command(till: Till) -> None:
    before = datetime.now(UTC)
    till.ring("k")
    with pytest.raises(DuplicateCommandError, match=r"'k' belongs to a Ring .* cannot be used for a Void") as caught:
        till.domain.process(till.Void(name="a"), idempotency_key="k")
    assert (caught.value.key, caught.value.type) == ("k", "Ring")
    assert before - timedelta(seconds=1) <= caught.value.first_at <= datetime.now(UTC)
    assert till.calls == ["a"]
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (str(copied), copied.key, copied.first_at) == (str(caught.value), "k", caught.value.first_at)


@pytest.mark.parametrize("other", [{"name": "b"}, {"note": "x"}, {"extra": {"n": 2}}, {"line": "mine"}], ids=str)
def test_a_key_cannot_be_used_for_other_data(till: Till, other: dict[str, Any]) -> None:
    till.ring("k", extra={"n": 1})
    with pytest.raises(DuplicateCommandError, match=r"belongs to a Ring .* for a Ring with other data"):
        till.ring("k", **{"extra": {"n": 1}, **other})
    assert till.calls == ["a"]


def test_the_same_data_is_the_same_whatever_the_order_and_the_defaults_made_up(till: Till) -> None:
    till.ring("k", extra={"a": 1, "b": {"c": 2, "d": 3}})
    till.ring("k", extra={"b": {"d": 3, "c": 2}, "a": 1}, note=None)
    assert till.calls == ["a"]


def test_a_command_that_gains_an_optional_field_between_two_calls_is_still_the_same(till: Till) -> None:
    later = Domain("till", config={})

    @later.aggregate
    class Receipt:
        lines: Integer(default=0)

    @later.command(part_of=Receipt)
    class Void:
        name: String(required=True)
        reason: String()

    new: Any = Void
    assert digest_of(till.Void(name="a")) == digest_of(new(name="a"))
    assert digest_of(till.Void(name="a")) != digest_of(new(name="a", reason="x"))


def test_priority_and_correlation_are_no_part_of_what_is_the_same(till: Till) -> None:
    till.domain.process(till.Ring(name="a"), idempotency_key="k", priority=-50, correlation_id="one")
    till.domain.process(till.Ring(name="a"), idempotency_key="k", priority=50, correlation_id="two")
    assert till.calls == ["a"]


def test_a_command_that_failed_has_not_used_its_key(till: Till) -> None:
    def fail(command: Any) -> None:
        raise RuntimeError("out of paper")

    till.between = fail
    with pytest.raises(RuntimeError):
        till.ring("k")
    till.between = lambda command: None
    till.answers["a"] = "done"
    assert till.ring("k") == "done"
    assert till.lines("a") == 1


def test_twenty_at_once_with_the_same_key_have_one_effect_and_twenty_equal_results(
    till: Till, together: Callable[..., None]
) -> None:
    till.between = lambda command: time.sleep(0.02)
    ready, results = threading.Barrier(20), []

    def ring() -> None:
        with till.domain.domain_context():
            ready.wait(20)
            results.append(till.ring("k"))

    till.answers["a"] = {"receipt": "a", "nth": 1}
    together(*[ring] * 20)
    assert results == [{"receipt": "a", "nth": 1}] * 20
    assert till.calls == ["a"]
    assert till.lines("a") == 1


def test_who_waits_for_a_key_that_is_given_up_carries_the_command_out(
    till: Till, together: Callable[..., None]
) -> None:
    begun = threading.Event()

    def fail_once(command: Any) -> None:
        if not begun.is_set():
            begun.set()
            time.sleep(0.3)
            raise RuntimeError("out of paper")

    till.between = fail_once
    results: list[Any] = []

    def first() -> None:
        with till.domain.domain_context(), suppress(RuntimeError):
            results.append(till.ring("k"))

    def second() -> None:
        begun.wait(20)
        with till.domain.domain_context():
            results.append(till.ring("k"))

    together(first, second)
    assert results == [None]
    assert till.lines("a") == 1


def test_a_keyed_command_that_lost_a_race_is_repeated_and_then_has_its_key(
    bank: Bank, together: Callable[..., None]
) -> None:
    bank.open("a")

    def deposits(mine: int) -> None:
        with bank.domain.domain_context():
            for number in range(8):
                for _ in range(2):
                    bank.domain.process(bank.Deposit(account_id="a"), idempotency_key=f"{mine}-{number}")

    together(lambda: deposits(1), lambda: deposits(2))
    assert bank.domain.repository_for(bank.account).get("a").balance == 16
    assert [message.position for message in bank.log("a")] == list(range(17))


def test_in_an_outer_unit_of_work_the_key_is_used_when_that_one_commits(till: Till) -> None:
    with UnitOfWork():
        till.answers["a"] = 1
        assert till.ring("k") == 1
        till.answers["a"] = 2
        assert till.ring("k") == 1  # within it, too
    assert till.ring("k") == 1
    assert till.lines("a") == 1

    with suppress(RuntimeError), UnitOfWork():
        till.ring("other", name="b")
        raise RuntimeError("the whole is given up")
    assert till.receipts() == 1
    till.ring("other", name="b")
    assert till.receipts() == 2


def test_in_an_outer_unit_of_work_a_lost_race_is_the_wholes_and_its_key_stays_free(bank: Bank) -> None:
    bank.open("a")
    accounts = bank.domain.repository_for(bank.account)
    stale = accounts.get("a")
    bank.deposit("a")

    def in_company() -> None:
        with UnitOfWork():
            bank.domain.process(bank.Open(account_id="b"), idempotency_key="open-b")
            stale.balance = 5
            accounts.add(stale)

    with pytest.raises(ExpectedVersionError):
        in_company()
    assert bank.domain.process(bank.Open(account_id="b"), idempotency_key="open-b") == "b"


def test_a_handler_that_sends_its_own_command_again_under_its_key_is_told_so(till: Till) -> None:
    till.between = lambda command: till.ring("k")
    with pytest.raises(InvalidOperationError, match="its own handler sends it again"):
        till.ring("k")
    assert till.receipts() == 0


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("", "must have 1 to 255 characters, not 0"),
        ("x" * 256, "must have 1 to 255 characters, not 256"),
        ("a\0", "contains a NUL character"),
        ("a\ud800", "contains characters that are not Unicode (lone surrogates)"),
        (7, "must be a text, not int"),
        (b"k", "must be a text, not bytes"),
    ],
    ids=repr,
)
def test_a_key_that_no_database_keeps_is_refused_by_name(till: Till, key: Any, complaint: str) -> None:
    for name in ("idempotency_key", "correlation_id"):
        with pytest.raises(ValidationError) as caught:
            till.domain.process(till.Ring(name="a"), **{name: key})
        assert caught.value.messages == {name: [complaint]}
    assert till.calls == []


def test_a_key_of_the_longest_length_and_any_letters_works(till: Till) -> None:
    for key in ("\N{GRINNING FACE}" * 255, "'; DROP TABLE receipt; --", "%s", " "):
        till.ring(key)
        till.ring(key)
    assert till.lines("a") == 4


def test_two_domains_on_one_database_do_not_share_keys(bank: Bank, till: Till) -> None:
    till.ring("k")
    bank.domain.process(bank.Open(account_id="a"), idempotency_key="k")
    assert [message.type for message in bank.log("a")] == ["Opened"]


def test_a_key_that_was_forgotten_is_free_again(till: Till) -> None:
    till.ring("k")
    transaction = till.domain.database().transaction()
    assert transaction.idempotency_keys.prune(datetime.now(UTC) + timedelta(seconds=1), 10) == 1
    transaction.commit()
    till.ring("k")
    assert till.lines("a") == 2


def test_housekeeping_forgets_keys_that_are_old_enough_a_few_at_a_time(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    monkeypatch.setattr(housekeeping, "REST", 0.0)
    for number in range(5):
        till.ring(f"k-{number}")
    database, sweep = till.domain.database(), threading.Event()
    assert Housekeeping(database, Retention(keys=timedelta(hours=1))).sweep(sweep).keys == 0
    till.ring("k-0")
    assert till.lines("a") == 5
    assert Housekeeping(database, Retention(keys=timedelta(0))).sweep(sweep).keys == 5
    till.ring("k-0")
    assert till.lines("a") == 6


def test_without_a_key_every_call_counts_and_nothing_is_kept(till: Till) -> None:
    till.answers["a"] = object()
    for _ in range(2):
        till.ring(None)
    assert till.lines("a") == 2
    transaction = till.domain.database().transaction()
    assert transaction.idempotency_keys.prune(datetime.now(UTC) + timedelta(seconds=1), 10) == 0
    transaction.commit()
