"""A process manager alone: its events, its commands, its timeouts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.fulfillment import Shop

from protean import ProcessManager, current_domain, handle
from protean.exceptions import InvalidOperationError
from protean.testing import drain, given_process


@pytest.fixture
def e(shop: Shop) -> Any:
    """Makes events by name."""

    class Events:
        def __getattr__(self, name: str) -> Any:
            return shop.domain.registry.message_type(name)

    return Events()


@pytest.mark.proves("protean.testing.given_process")
def test_events_lead_to_commands_that_nobody_carries_out(shop: Shop, e: Any) -> None:
    process = given_process(shop.domain, shop.process, e.OrderPlaced(order_id="1"))
    paid = process.when(e.PaymentReceived(id="p", reference="1", amount=10))
    paid.then(shop.Ship(order_id="1")).then_waits().then_goes_on().then_state(paid=10, told=["placed", "paid 10"])
    paid.when(e.OrderShipped(order_id="1")).then().then_ended()
    with shop.domain.domain_context():
        assert shop.domain.repository_for(shop.order).get_or_none("1") is None


def test_timeouts_are_set_come_due_and_are_cancelled(shop: Shop, e: Any) -> None:
    minutes, hour = timedelta(minutes=10), timedelta(hours=1)
    begun = given_process(shop.domain, shop.process).when(e.OrderPlaced(order_id="1"))
    begun.then().then_waits(reminder=minutes, unpaid=hour)
    reminded = begun.when_due("reminder")
    reminded.then(e.Remind(order_id="1")).then_waits(unpaid=hour - minutes)
    reminded.when(e.PaymentReceived(id="p", reference="1", amount=3)).then().then_waits(unpaid=hour)
    over = begun.when_time_passes(hours=2)
    over.then(e.Cancel(order_id="1")).then_ended().then_waits()


def test_time_brings_what_is_due_in_its_order(shop: Shop, e: Any) -> None:
    passed = given_process(shop.domain, shop.process, e.OrderPlaced(order_id="1")).when_time_passes(hours=1)
    passed.then(e.Remind(order_id="1"), e.Cancel(order_id="1")).then_ended()


def test_events_of_no_process_are_ignored(shop: Shop, e: Any) -> None:
    given_process(shop.domain, shop.process).when(e.OrderShipped(order_id="1")).then().then_ignored()


def test_what_it_fails_at_is_told_with_its_traceback_unless_it_is_expected(shop: Shop, e: Any) -> None:
    shop.fails.add("paid 10")
    process = given_process(shop.domain, shop.process, e.OrderPlaced(order_id="1"))
    failed = process.when(e.PaymentReceived(id="p", reference="1", amount=10))
    failed.then_failed(ValueError, "cannot take")
    with pytest.raises(AssertionError, match=r"(?s)failed at PaymentReceived.*in paid_for.*ValueError: cannot take"):
        failed.then(shop.Ship(order_id="1"))
    with pytest.raises(AssertionError, match="in another way"):
        failed.then_failed(KeyError)


def test_what_is_not_as_expected_is_shown_with_the_past(shop: Shop, e: Any) -> None:
    begun = given_process(shop.domain, shop.process).when(e.OrderPlaced(order_id="1"))
    with pytest.raises(
        AssertionError, match=r"expected 'unpaid' in 0:05:00\n  but set are: 'reminder' in 0:10:00, 'un"
    ):
        begun.then_waits(unpaid=timedelta(minutes=5))
    with pytest.raises(AssertionError, match="has no timeout 'tomorrow'; set are"):
        begun.when_due("tomorrow")
    with pytest.raises(AssertionError) as wrong:
        begun.when(e.PaymentReceived(id="p", reference="1", amount=10)).then(shop.Ship(order_id="2"))
    said = str(wrong.value)
    assert "Fulfillment '1', at PaymentReceived(" in said
    assert "order_id  expected '2'\n                but is   '1'" in said
    assert said.endswith("given OrderPlaced(order_id='1')")
    with pytest.raises(AssertionError, match=r"goes on after OrderPlaced.*end=True"):
        given_process(shop.domain, shop.process).when(e.OrderPlaced(order_id="2")).then_ended()
    with pytest.raises(InvalidOperationError, match="Fulfillment handles no OrderCancelled; it handles OrderPlaced"):
        begun.when(e.OrderCancelled(order_id="1"))


def test_answers_are_what_commands_return(small_shop: Shop) -> None:
    domain, place = small_shop.domain, small_shop.Place

    @domain.process_manager(aggregates=[small_shop.order])
    class Asks(ProcessManager):
        answers: list[str] = []

        @handle("OrderPlaced", start=True, correlate="order_id")
        def placed(self, event: Any) -> None:
            self.answers = [domain.process(place(order_id="x")), current_domain.process(small_shop.Pay(amount=1))]

    answers = {place: lambda command: f"is {command.order_id}", small_shop.Pay: "paid"}
    asked = given_process(domain, Asks, answers=answers).when(domain.registry.message_type("OrderPlaced")(order_id="1"))
    asked.then(place(order_id="x"), small_shop.Pay(amount=1)).then_state(answers=["is x", "paid"])


def test_the_domain_is_as_before_and_works_on(shop: Shop, e: Any) -> None:
    given_process(shop.domain, shop.process, e.OrderPlaced(order_id="1"))
    assert "process" not in vars(shop.domain)
    assert "committed" not in vars(shop.domain)
    with shop.domain.domain_context():
        shop.place("2")
        drain(shop.domain)
        assert shop.found("2").told == ["placed"]
