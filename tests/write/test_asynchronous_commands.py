"""A command that is accepted now and carried out later: once, with its result kept for whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.support.bank import Bank, always, build_bank

from protean import Domain, UnitOfWork, codec, current_domain, handle
from protean.deliver.housekeeping import Housekeeping, Retention
from protean.exceptions import (
    ConfigurationError,
    DuplicateCommandError,
    ObjectNotFoundError,
    ValidationError,
)
from protean.fields import Identifier, Integer
from protean.handle.breaker import Breaker, BreakerSettings
from protean.handle.executor import Executor
from protean.handle.retry import RetryPolicy
from protean.message import Message, MessageKind
from protean.ports.handling import Delivery, Outcome, Verdict
from protean.ports.progress import FailureFilter, FailureState
from protean.priority import Priority, processing_priority
from protean.write.command_results import CommandState

NO_RETRIES = RetryPolicy(max_retries=0)


def send(bank: Bank, command: Any, **options: Any) -> str:
    accepted: str = bank.domain.process(command, asynchronous=True, **options)
    return accepted


def message(bank: Bank, command_id: str) -> Message:
    transaction = bank.domain.database().transaction()
    try:
        (found,) = transaction.log.find([command_id])
        return found
    finally:
        transaction.rollback()


def delivered(bank: Bank, command_id: str) -> Delivery:
    return Delivery("1-0", "account:command", "primary", codec.encode(message(bank, command_id)))


def teller(bank: Bank, policy: RetryPolicy = RetryPolicy(), breaker: Breaker | None = None) -> Executor:
    (spec,) = bank.domain.registry.handlers_of("account:command")
    return Executor(bank.domain, spec, "default", policy, breaker)


def carry_out(bank: Bank, command_id: str, policy: RetryPolicy = RetryPolicy()) -> Outcome:
    (outcome,) = teller(bank, policy).execute([delivered(bank, command_id)], grouped=False, go_on=always)
    return outcome


def test_it_is_written_down_in_a_stream_of_its_own_and_changes_nothing_yet(bank: Bank) -> None:
    accepted = send(bank, bank.Open(account_id="a"), correlation_id="visit-7")
    found = message(bank, accepted)
    assert str(UUID(accepted)) == accepted
    assert (found.kind, found.type, found.category) == (MessageKind.COMMAND, "Open", "account:command")
    assert (found.stream_name, found.position, found.data) == (f"account:command-{accepted}", 0, {"account_id": "a"})
    assert (found.correlation_id, found.causation_id, found.priority) == ("visit-7", None, 0)
    assert bank.log("a") == []
    assert [(row.category, row.rows) for row in bank.domain.database().outbox.count()] == [("account:command", 1)]
    status = bank.domain.result_of(accepted)
    assert (status.id, status.type, status.state, status.result) == (accepted, "Open", CommandState.PENDING, None)


def test_its_result_can_be_asked_for_once_it_is_carried_out(bank: Bank) -> None:
    accepted = send(bank, bank.Open(account_id="a"))
    outcome = carry_out(bank, accepted)
    status = bank.domain.result_of(accepted)
    assert (outcome.verdict, outcome.applied) == (Verdict.HANDLED, 1)
    assert (status.state, status.result) == (CommandState.DONE, "a")
    assert status.finished_at is not None
    assert status.accepted_at <= status.finished_at


def test_a_result_of_none_is_a_result(bank: Bank) -> None:
    bank.open("a")
    accepted = send(bank, bank.Deposit(account_id="a"))
    carry_out(bank, accepted)
    assert bank.domain.result_of(accepted).state is CommandState.DONE


def test_a_copy_that_is_delivered_again_changes_nothing(bank: Bank) -> None:
    bank.open("a")
    accepted = send(bank, bank.Deposit(account_id="a", amount=5))
    assert [carry_out(bank, accepted).applied for _ in range(3)] == [1, 0, 0]
    assert bank.domain.repository_for(bank.account).get("a").balance == 5


def test_what_it_causes_has_its_correlation_its_id_as_cause_and_its_priority(bank: Bank) -> None:
    with processing_priority(Priority.LOW):
        accepted = send(bank, bank.Open(account_id="a"), correlation_id="visit-7")
    carry_out(bank, accepted)
    (opened,) = bank.log("a")
    assert message(bank, accepted).priority == Priority.LOW
    assert (opened.correlation_id, opened.causation_id, opened.priority) == ("visit-7", accepted, Priority.LOW)


def test_a_command_that_a_handler_sends_is_caused_by_its_message_and_has_the_priority_it_says(
    bank: Bank,
) -> None:
    bank.open("a")
    sent: list[str] = []
    bank.between = lambda event: sent.append(send(bank, bank.Open(account_id="b"), priority=Priority.LOW))
    bank.executor().execute(bank.deliveries("a"), grouped=False, go_on=always)
    (opened,) = bank.log("a")
    caused = message(bank, sent[-1])
    assert (caused.causation_id, caused.correlation_id) == (opened.id, opened.correlation_id)
    assert caused.priority == Priority.LOW


@pytest.mark.proves("stream `customer:command`")
def test_its_priority_chooses_the_lane() -> None:
    lanes = build_bank({"server": {"priority_lanes": {"enabled": True}}}).domain.lanes
    assert lanes.stream("account:command", lanes.lane_of(Priority.NORMAL)) == "account:command"
    assert lanes.stream("account:command", lanes.lane_of(Priority.LOW)) == "account:command:backfill"


def test_in_a_unit_of_work_it_is_accepted_with_that_one_or_not_at_all(bank: Bank) -> None:
    with suppress(RuntimeError), UnitOfWork():
        lost = send(bank, bank.Open(account_id="a"))
        raise RuntimeError("the whole is given up")
    with UnitOfWork():
        kept = send(bank, bank.Open(account_id="a"))
        bank.open("b")
    with pytest.raises(ObjectNotFoundError, match="never accepted"):
        bank.domain.result_of(lost)
    assert bank.domain.result_of(kept).state is CommandState.PENDING
    assert len(bank.log("b")) == 1


def test_what_cannot_be_handled_is_refused_before_it_is_accepted(bank: Bank) -> None:
    with pytest.raises(ValidationError, match="account_id: is required"):
        send(bank, bank.Open())
    with pytest.raises(ValidationError, match="correlation_id"):
        send(bank, bank.Open(account_id="a"), correlation_id="")

    @bank.domain.command(part_of="Account")
    class Orphan:
        pass

    with pytest.raises(ConfigurationError, match=r"@handle\(Orphan\)"):
        send(bank, Orphan())
    assert bank.domain.database().outbox.count() == []


def test_under_a_key_it_is_accepted_once(bank: Bank) -> None:
    first = send(bank, bank.Open(account_id="a"), idempotency_key="k")
    assert [send(bank, bank.Open(account_id="a"), idempotency_key="k") for _ in range(3)] == [first] * 3
    assert sum(row.rows for row in bank.domain.database().outbox.count()) == 1
    with pytest.raises(DuplicateCommandError, match=r"belongs to a Open \(asynchronous\)"):
        bank.domain.process(bank.Open(account_id="a"), idempotency_key="k")
    with pytest.raises(DuplicateCommandError, match="with other data"):
        send(bank, bank.Open(account_id="b"), idempotency_key="k")


def test_twenty_at_once_under_a_key_get_the_same_id(bank: Bank, together: Callable[..., None]) -> None:
    ids: list[str] = []

    def one() -> None:
        with bank.domain.domain_context():
            ids.append(send(bank, bank.Open(account_id="a"), idempotency_key="k"))

    together(*[one] * 20)
    assert len(ids) == 20
    assert len(set(ids)) == 1


def test_one_that_fails_is_pending_with_its_error_until_it_is_given_up(bank: Bank) -> None:
    bank.open("a")
    accepted = send(bank, bank.Break(account_id="a"))
    policy = RetryPolicy(max_retries=1, base_delay=0.0, jitter=0.0)
    assert carry_out(bank, accepted, policy).verdict is Verdict.RETRY
    waiting = bank.domain.result_of(accepted)
    assert (waiting.state, waiting.error_type, waiting.attempts) == (CommandState.PENDING, "ValidationError", 1)
    assert waiting.error == "account_id: is broken"
    assert waiting.next_attempt_at is not None

    transaction = bank.domain.database().transaction()
    (claimed,) = transaction.failures.claim(FailureFilter(), 1, 30.0)
    transaction.commit()
    assert (left := teller(bank, policy).retry(claimed)) is not None
    assert left.state is FailureState.DEAD
    failed = bank.domain.result_of(accepted)
    assert (failed.state, failed.error, failed.attempts) == (CommandState.FAILED, "account_id: is broken", 2)
    assert (failed.next_attempt_at, failed.result) == (None, None)
    assert failed.finished_at is not None
    assert len(bank.log("a")) == 1  # what it did was undone


def test_a_dead_one_that_is_replayed_and_succeeds_is_done(bank: Bank) -> None:
    accepted = send(bank, bank.Deposit(account_id="later"))
    assert carry_out(bank, accepted, NO_RETRIES).verdict is Verdict.DEAD
    assert bank.domain.result_of(accepted).error_type == "ObjectNotFoundError"
    bank.open("later")
    transaction = bank.domain.database().transaction()
    transaction.failures.release(FailureFilter(message_id=accepted))
    (claimed,) = transaction.failures.claim(FailureFilter(), 1, 30.0)
    transaction.commit()
    assert teller(bank).retry(claimed) is None
    assert bank.domain.result_of(accepted).state is CommandState.DONE
    assert bank.domain.repository_for(bank.account).get("later").balance == 1


def test_one_that_fails_holds_up_no_other(bank: Bank) -> None:
    bank.open("a")
    broken, fine = send(bank, bank.Break(account_id="a")), send(bank, bank.Deposit(account_id="a"))
    outcomes = teller(bank).execute([delivered(bank, broken), delivered(bank, fine)], grouped=True, go_on=always)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.RETRY, Verdict.HANDLED]
    assert bank.domain.result_of(fine).state is CommandState.DONE


def test_refusals_do_not_open_the_handlers_breaker(bank: Bank) -> None:
    """A customer who sends nonsense twenty times must not stop everybody else's commands."""
    breaker = Breaker("Teller", BreakerSettings(failures=2, cool_down=60.0))
    executor = teller(bank, RetryPolicy(), breaker)
    for _ in range(5):
        refused = send(bank, bank.Deposit(account_id="nobody"))
        executor.execute([delivered(bank, refused)], grouped=False, go_on=always)
    assert breaker.closed


def test_a_result_that_json_cannot_hold_is_the_handlers_failure_and_nothing_is_saved() -> None:
    domain = Domain("shop", config={"server": {"retry": {"max_retries": 0}}})

    @domain.aggregate
    class Thing:
        number: Integer(default=0)

    @domain.command(part_of=Thing)
    class Make:
        thing_id: Identifier(required=True)

    @domain.command_handler(part_of=Thing)
    class Maker:
        @handle(Make)
        def make(self, command: Any) -> Any:
            thing: Any = Thing(id=command.thing_id)
            current_domain.repository_for(Thing).add(thing)
            return thing

    domain.init()
    with domain.domain_context():
        status = domain.result_of(domain.process(Make(thing_id="a"), asynchronous=True))
        assert status.state is CommandState.FAILED
        assert "the result of the asynchronous Make is kept as JSON" in str(status.error)
        assert domain.repository_for(Thing).get_or_none("a") is None


def test_without_a_broker_it_is_carried_out_right_after_the_commit() -> None:
    bank = build_bank({})
    with bank.domain.domain_context():
        with UnitOfWork():
            accepted = send(bank, bank.Open(account_id="a"))
            assert bank.log("a") == []
        assert bank.domain.result_of(accepted).result == "a"
        assert bank.applied("a") == [0]


def test_the_configuration_may_say_that_all_commands_are_asynchronous() -> None:
    bank = build_bank({"command_processing": "async"})
    with bank.domain.domain_context():
        accepted = bank.domain.process(bank.Open(account_id="a"))
        assert bank.domain.result_of(accepted).result == "a"
        assert bank.domain.process(bank.Open(account_id="b"), asynchronous=False) == "b"


@pytest.mark.parametrize("unknown", ["", "nonsense", "a\0b", "5e3a5909-c3b4-4ad7-8bb8-776c66f1fefa"])
def test_what_is_asked_for_and_unknown_is_said(bank: Bank, unknown: str) -> None:
    with pytest.raises(ObjectNotFoundError, match="command"):
        bank.domain.result_of(unknown)


def test_an_events_id_is_not_a_commands(bank: Bank) -> None:
    bank.open("a")
    with pytest.raises(ObjectNotFoundError, match="is the event Opened, not a command"):
        bank.domain.result_of(bank.log("a")[0].id)


def test_a_result_is_forgotten_after_its_retention_and_never_said_to_be_pending(bank: Bank) -> None:
    accepted, waiting = send(bank, bank.Open(account_id="a")), send(bank, bank.Open(account_id="b"))
    carry_out(bank, accepted)
    database = bank.domain.database()
    keeps = Housekeeping(database, Retention())
    assert keeps.sweep(threading.Event()).results == 0
    assert bank.domain.result_of(accepted).state is CommandState.DONE

    transaction = database.transaction()
    assert transaction.command_results.prune(datetime.now(UTC) - timedelta(days=1), 10) == 0
    transaction.rollback()
    assert Housekeeping(database, Retention(results=timedelta(seconds=-1))).sweep(threading.Event()).results == 1
    with pytest.raises(ObjectNotFoundError, match="result_retention"):
        bank.domain.result_of(accepted)
    assert bank.domain.result_of(waiting).state is CommandState.PENDING
