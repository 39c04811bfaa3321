"""Process managers on every database: the right process, once, in order, with what it causes, nothing after its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.fulfillment import PATIENCE, REMINDER, Shop, build_shop

from protean import Domain, ProcessManager, codec, handle
from protean.clock import utc_now
from protean.deliver.lanes import Lane
from protean.domain.reacting import process_managers
from protean.exceptions import InvalidOperationError
from protean.fields import Integer, String
from protean.handle.executor import Executor
from protean.handle.retry import RetryPolicy
from protean.handle.timekeeper import Timekeeper
from protean.message import Message
from protean.ports.handling import Delivery, Verdict
from protean.ports.progress import FailureFilter, FailureState
from protean.priority import Priority, processing_priority
from protean.server.recovering import interests_of

SOON = RetryPolicy(max_retries=1, base_delay=0.0, jitter=0.0)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """Nobody delivers: the tests hand over messages themselves."""
    uris = {"memory": "", "sqlite": f"sqlite:///{tmp_path / 'shop.db'}"}
    uri = uris.get(request.param)
    database = {"provider": request.param, "database_uri": uri or ""}
    if uri is None:
        database["database_uri"] = request.getfixturevalue("database_url")
    brokers = {"default": {"provider": "memory"}}
    shop = build_shop({"databases": {"default": database}, "brokers": brokers, "event_processing": "async"})
    with shop.domain.domain_context():
        yield shop
    shop.domain.close()


@pytest.fixture
def inline() -> Iterator[Shop]:
    """Handlers run right after commit."""
    shop = build_shop({})
    with shop.domain.domain_context():
        yield shop


def payments(shop: Shop) -> list[str]:
    return [f"payment-{payment.id}" for payment in shop.domain.repository_for(shop.payment).query.all()]


def retry(shop: Shop, policy: RetryPolicy = SOON) -> None:
    transaction = shop.domain.database().transaction()
    (claimed,) = transaction.failures.claim(FailureFilter(), 1, 30.0)
    transaction.commit()
    shop.executor(policy).retry(claimed)


def test_a_starting_event_begins_a_process_and_others_find_it(shop: Shop) -> None:
    shop.place("a")
    shop.place("b")
    shop.deliver("order-a")
    shop.deliver("order-b")
    shop.pay("a", 3)
    shop.deliver(*payments(shop))
    assert (shop.found("a").told, shop.found("a").paid) == (["placed", "paid 3"], 3)
    assert (shop.found("b").told, shop.found("b").is_complete) == (["placed"], False)


def test_a_command_issued_inside_is_in_the_same_transaction(shop: Shop) -> None:
    shop.place("a")
    shop.deliver("order-a")
    shop.pay("a")
    shop.fails.add("paid 10")
    (failed,) = shop.deliver(*payments(shop), policy=SOON)
    assert (failed.verdict, shop.status("a"), shop.found("a").paid) == (Verdict.RETRY, "placed", 0)
    shop.fails.clear()
    retry(shop)
    assert (shop.status("a"), shop.found("a").told) == ("shipped", ["placed", "paid 10"])
    (received,) = shop.log(*payments(shop))
    shipped = shop.log("order-a")[-1]
    assert (shipped.type, shipped.causation_id) == ("OrderShipped", received.id)
    assert shipped.correlation_id == received.correlation_id


def test_whatever_is_delivered_again_changes_nothing(shop: Shop) -> None:
    shop.place("a")
    shop.deliver("order-a")
    shop.pay("a")
    for _ in range(3):
        shop.deliver(*payments(shop))
        shop.deliver("order-a")
    assert shop.calls == ["placed", "paid 10", "shipped"]
    assert len(shop.log("order-a")) == 2


def test_the_last_event_ends_it_and_what_comes_later_is_ignored_and_said(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.place("a")
    shop.deliver("order-a")
    shop.pay("a")
    shop.deliver(*payments(shop))
    shop.deliver("order-a")
    assert shop.found("a").is_complete
    assert utc_now() - shop.found("a").completed_at < timedelta(minutes=1)
    before = set(payments(shop))
    shop.pay("a", 99)
    with caplog.at_level(logging.DEBUG, "protean.handle.processes"):
        (outcome,) = shop.deliver(*(set(payments(shop)) - before))
    assert outcome.verdict is Verdict.HANDLED
    assert shop.found("a").paid == 10
    assert "ignores PaymentReceived" in caplog.text
    assert "the process a is over" in caplog.text


def test_an_event_of_no_process_is_ignored_and_said(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.pay("nobody")
    with caplog.at_level(logging.DEBUG, "protean.handle.processes"):
        (outcome,) = shop.deliver(*payments(shop))
    assert (outcome.verdict, shop.calls) == (Verdict.HANDLED, [])
    assert "there is no process nobody" in caplog.text
    assert shop.found("nobody") is None


def test_an_event_that_says_of_no_process_is_ignored(shop: Shop) -> None:
    shop.domain.process(shop.Pay(amount=1))
    (outcome,) = shop.deliver(*payments(shop))
    assert (outcome.verdict, shop.calls) == (Verdict.HANDLED, [])


def test_events_of_several_streams_for_one_process_wait_for_each_other(
    shop: Shop, together: Callable[..., None]
) -> None:
    """Each adds to what it finds: had two read the same state, an amount would be missing."""
    shop.place("a")
    shop.deliver("order-a")
    for _ in range(6):
        shop.pay("a", 1)
    shop.between = lambda what: time.sleep(0.02)

    def one(stream_name: str) -> Callable[[], None]:
        def run() -> None:
            with shop.domain.domain_context():
                shop.deliver(stream_name)

        return run

    together(*map(one, payments(shop)))
    assert (shop.found("a").paid, sorted(shop.calls)) == (6, ["paid 1"] * 6 + ["placed"])


def test_a_group_of_messages_of_one_process_is_handled_in_one_transaction(shop: Shop) -> None:
    shop.place("a")
    for _ in range(5):
        shop.pay("a", 1)
    messages = [*shop.log("order-a"), *(shop.log(stream)[0] for stream in payments(shop))]
    deliveries = [Delivery(f"{m.global_position}-0", m.category, "backfill", codec.encode(m)) for m in messages]
    executor, outcomes = shop.executor(), 0
    while outcomes < len(deliveries):
        outcomes += len(executor.execute(deliveries[outcomes:], grouped=True, go_on=lambda: True))
    assert (shop.found("a").paid, shop.found("a").told) == (5, ["placed", *["paid 1"] * 5])


def test_a_later_event_of_an_aggregate_waits_behind_one_that_failed(shop: Shop) -> None:
    shop.place("a")
    shop.fails.add("placed")
    shop.domain.process(shop.Ship(order_id="a"))
    assert [outcome.verdict for outcome in shop.deliver("order-a", policy=SOON)] == [Verdict.RETRY, Verdict.BLOCKED]
    shop.fails.clear()
    retry(shop)
    assert (shop.found("a").told, shop.found("a").is_complete) == (["placed", "shipped"], True)


def test_history_from_before_its_first_engine_begins_no_process(shop: Shop) -> None:
    """Deployed beside orders of last year, it must not ask for their payments again."""
    shop.place("old")
    with shop.domain.database().outbox.claim(shop.domain.lanes.claim("default", Lane.PRIMARY), 100) as batch:
        assert batch is not None
        batch.published([row.id for row in batch.rows])
    recovery = shop.domain.database().recovery
    recovery.settle()
    recovery.register("default", interests_of(shop.domain)["default"])
    shop.domain.process(shop.Ship(order_id="old"))
    shop.place("new")
    shop.deliver("order-old")
    shop.deliver("order-new")
    assert shop.found("old") is None
    assert shop.found("new").told == ["placed"]


def test_a_timeout_that_is_due_calls_its_method_once(shop: Shop) -> None:
    shop.place("a")
    shop.deliver("order-a")
    assert shop.domain.fire_timeouts(utc_now() + REMINDER / 2) == 0
    assert shop.domain.fire_timeouts(utc_now() + REMINDER) == 1
    assert shop.domain.fire_timeouts(utc_now() + REMINDER) == 0
    for _ in range(3):
        shop.deliver("fulfillment-a")
    assert shop.calls == ["placed", "reminded"]
    assert shop.domain.repository_for(shop.order).get("a").reminders == 1
    (told,) = shop.log("fulfillment-a")
    assert (told.type, told.causation_id) == ("FulfillmentTimedOut", shop.log("order-a")[0].id)
    assert shop.timeouts("a") == ["unpaid"]


def test_a_process_that_ends_takes_its_timeouts_along(shop: Shop) -> None:
    shop.place("a")
    shop.place("b")
    shop.deliver("order-a")
    shop.deliver("order-b")
    shop.domain.process(shop.Ship(order_id="a"))
    shop.deliver("order-a")
    assert (shop.timeouts("a"), shop.timeouts("b")) == ([], ["reminder", "unpaid"])


def test_a_timeout_that_ends_its_process(shop: Shop) -> None:
    shop.place("a")
    shop.deliver("order-a")
    shop.domain.fire_timeouts(utc_now() + PATIENCE)
    shop.deliver("fulfillment-a")
    assert (shop.status("a"), shop.found("a").is_complete) == ("cancelled", True)
    assert (shop.calls, shop.timeouts("a")) == (["placed", "reminded", "given up"], [])


def test_a_timeout_that_is_cancelled_after_it_was_told_of_does_not_run(shop: Shop) -> None:
    shop.place("a")
    shop.deliver("order-a")
    shop.domain.fire_timeouts(utc_now() + PATIENCE)
    shop.pay("a")  # handled before the timeouts are
    shop.deliver(*payments(shop))
    shop.deliver("fulfillment-a")
    assert (shop.calls, shop.status("a")) == (["placed", "paid 10"], "shipped")


def test_a_timeout_that_is_set_anew_after_it_was_told_of_runs_at_its_new_time_only(shop: Shop) -> None:
    shop.place("a")
    shop.deliver("order-a")
    shop.domain.fire_timeouts(utc_now() + PATIENCE)
    shop.pay("a", 1)
    shop.deliver(*payments(shop))  # sets `unpaid` anew
    shop.deliver("fulfillment-a")
    assert (shop.calls, shop.timeouts("a")) == (["placed", "paid 1", "reminded"], ["unpaid"])
    assert shop.domain.fire_timeouts(utc_now() + PATIENCE) == 1
    shop.deliver("fulfillment-a")
    assert shop.calls[-1] == "given up"


def test_a_timeout_whose_method_fails_is_retried_and_holds_up_its_process_alone(shop: Shop) -> None:
    shop.place("a")
    shop.place("b")
    shop.deliver("order-a")
    shop.deliver("order-b")
    shop.domain.fire_timeouts(utc_now() + REMINDER)
    shop.fails.add("reminded")
    assert [outcome.verdict for outcome in shop.deliver("fulfillment-a", policy=SOON)] == [Verdict.RETRY]
    assert shop.domain.repository_for(shop.order).get("a").reminders == 0
    shop.fails.clear()
    shop.deliver("fulfillment-b")
    retry(shop)
    assert shop.calls.count("reminded") == 3  # one of them was undone
    assert [shop.domain.repository_for(shop.order).get(name).reminders for name in "ab"] == [1, 1]
    transaction = shop.domain.database().transaction()
    assert transaction.failures.count(FailureFilter(state=FailureState.WAITING)) == 0
    transaction.rollback()


def test_timekeepers_of_several_engines_tell_of_a_timeout_once(shop: Shop, together: Callable[..., None]) -> None:
    for number in range(20):
        shop.place(f"o{number}")
        shop.deliver(f"order-o{number}")

    def tell() -> None:
        with shop.domain.domain_context():
            shop.domain.fire_timeouts(utc_now() + REMINDER)

    together(*[tell] * 4)
    assert [len(shop.log(f"fulfillment-o{number}")) for number in range(20)] == [1] * 20


def test_a_timeout_that_is_set_anew_while_it_is_about_to_be_told_of_is_not_told_of(shop: Shop) -> None:
    shop.place("a")
    shop.deliver("order-a")
    keeper = Timekeeper(shop.domain, "default", process_managers(shop.domain.registry, "default"))
    due = keeper.due(utc_now() + PATIENCE)
    shop.pay("a", 1)
    shop.deliver(*payments(shop))  # sets `unpaid` anew
    keeper.tell(due)
    assert [message.data["name"] for message in shop.log("fulfillment-a")] == ["reminder"]


def test_a_timeout_carries_the_headers_of_the_message_during_which_it_was_set(shop: Shop) -> None:
    shop.domain.command_enricher(lambda command: {"user": "ada"})
    shop.place("a")
    shop.deliver("order-a")
    shop.domain.fire_timeouts(utc_now() + REMINDER)
    (told,) = shop.log("fulfillment-a")
    assert told.headers == {"user": "ada"}


def test_an_event_that_begins_a_process_and_does_not_say_which_has_failed_and_former_names_find_theirs() -> None:
    domain = Domain("visits", config={"brokers": {"default": {"provider": "memory"}}, "event_processing": "async"})

    @domain.event(part_of="Visit", aliases=["Begun"])
    class Started:
        guest = String()

    @domain.aggregate
    class Visit:
        pass

    @domain.process_manager(aggregates=[Visit])
    class Stay(ProcessManager):
        seen = Integer(default=0)

        @handle(Started, start=True, correlate="guest")
        def started(self, event: Any) -> None:
            self.seen += 1

    domain.init()
    with domain.domain_context():
        visits, event, visit = domain.repository_for(Visit), cast("Any", Started), cast("Any", Visit)
        for guest in (None, "ada"):
            one = visit(id=str(guest))
            one.raise_(event(guest=guest))
            visits.add(one)
        (spec,) = (spec for spec in domain.registry.handlers if spec.process is not None)
        executor = Executor(domain, spec, "default")
        (nobody,), (ada,) = (domain.event_store.read(f"visit-{name}") for name in (None, "ada"))
        (failed,) = executor.execute([_delivery(nobody)], grouped=False, go_on=lambda: True)
        (begun,) = executor.execute([_delivery(replace(ada, type="Begun"))], grouped=False, go_on=lambda: True)
        assert failed.failure is not None
        assert "begins a Stay and has no `guest`" in failed.failure.error
        stays: Any = domain.repository_for(Stay)
        assert (begun.applied, stays.get("ada").seen) == (1, 1)


def _delivery(message: Message) -> Delivery:
    return Delivery("1-0", message.category, "primary", codec.encode(message))


def test_a_timeout_goes_on_at_the_priority_at_which_it_was_set(shop: Shop) -> None:
    with processing_priority(Priority.LOW):
        shop.place("a")
    shop.deliver("order-a")
    shop.domain.fire_timeouts(utc_now() + REMINDER)
    (told,) = shop.log("fulfillment-a")
    assert told.priority == Priority.LOW
    assert told.correlation_id == shop.log("order-a")[0].correlation_id


def test_timeouts_are_only_for_handlers_and_only_known_ones(inline: Shop) -> None:
    inline.place("a")
    with pytest.raises(InvalidOperationError, match="while it handles an event"):
        inline.found("a").timeout_in(timedelta(1), "reminder")
    inline.between = lambda what: None
    process = inline.process(order_id="x")
    for wrong in (5, timedelta(-1), None):
        with pytest.raises(InvalidOperationError, match="timedelta from 0"):
            process.timeout_in(wrong, "reminder")
    with pytest.raises(InvalidOperationError, match="time zone"):
        process.timeout_at(utc_now().replace(tzinfo=None), "reminder")


def test_without_a_broker_it_reacts_right_after_the_commit(inline: Shop) -> None:
    inline.place("a")
    inline.pay("a")
    assert (inline.status("a"), inline.found("a").told) == ("shipped", ["placed", "paid 10", "shipped"])
    inline.place("b")
    assert inline.domain.fire_timeouts() == 0
    assert inline.domain.fire_timeouts(utc_now() + PATIENCE) == 2
    assert (inline.status("b"), inline.found("b").is_complete) == ("cancelled", True)


def test_completed_processes_are_rows_to_look_at(inline: Shop) -> None:
    inline.place("a")
    inline.place("b")
    inline.pay("a")
    processes = inline.domain.repository_for(inline.process)
    assert [process.order_id for process in processes.query.filter(completed_at__isnull=True).all()] == ["b"]
