"""Given, when, then: what holds passes, and what does not is shown field by field."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.support.fulfillment import Shop
from tests.support.orders import Orders

from protean.clock import utc_now
from protean.exceptions import InvalidOperationError, ObjectNotFoundError, ValidationError
from protean.testing import StuckError, given, like


def event(shop: Shop, name: str, **fields: Any) -> Any:
    return shop.domain.registry.message_type(name)(**fields)


def failing(step: Any) -> str:
    """What a step that must fail says."""
    with pytest.raises(AssertionError) as failed:
        step()
    return str(failed.value)


@pytest.mark.proves("protean.testing.given")
def test_a_command_tells_events_and_leaves_a_state(orders: Orders) -> None:
    placed = orders.Placed(order_id="1", customer="Ann", at=utc_now())
    past = (
        given(orders.domain, placed)
        if orders.Order.__protean__.options.get("event_sourced")
        else given(orders.domain, orders.Order(order_id="1", customer="Ann"))
    )
    told = past.when(orders.Add(order_id="1", sku="pen", price=Decimal("1.50")))
    told.then(orders.Added(order_id="1", sku="pen", price=Decimal("1.50")))
    told.then_state(orders.Order, "1", lines=["pen"], total=Decimal("1.50"), customer="Ann")
    told.when(orders.Close(order_id="1")).then(orders.Closed).then_state(orders.Order, "1", count=1)
    assert [fact.count for fact in orders.facts][-1] == 1


def test_events_that_are_given_have_happened_to_handlers_too_and_what_follows_is_told_apart(shop: Shop) -> None:
    past = given(shop.domain, shop.order(id="1"), event(shop, "OrderPlaced", order_id="1"))
    told = past.when(shop.Pay(order_id="1", amount=10))
    told.then(like(event(shop, "PaymentReceived", id="x", amount=1).__class__, reference="1", amount=10))
    told.then_followed(event(shop, "OrderShipped", order_id="1"))
    told.then_state(shop.process, "1", told=["placed", "paid 10", "shipped"])
    told.then_state(shop.order, "1", status="shipped").then_gone(shop.order, "2")


def test_of_an_event_that_happens_what_follows_is_looked_at(shop: Shop) -> None:
    past = given(shop.domain, shop.order(id="1"), event(shop, "OrderPlaced", order_id="1"))
    paid = event(shop, "PaymentReceived", id="p", reference="1", amount=10)
    past.when(paid).then(event(shop, "OrderShipped", order_id="1"))


def test_a_function_is_a_step_too(small_shop: Shop) -> None:
    told = given(small_shop.domain).when(lambda: small_shop.place("1"))
    told.then(event(small_shop, "OrderPlaced", order_id="1"))


def test_a_rejection_is_expected_by_its_kind_its_text_and_its_fields(small_shop: Shop) -> None:
    shop = small_shop
    told = given(shop.domain).when(shop.Ship(order_id="1"))
    told.then_rejected().then_rejected(ObjectNotFoundError, match="no Order").then_gone(shop.order, "1")
    taken = given(shop.domain, shop.order(id="2")).when(shop.Place(order_id="2"))
    taken.then_rejected(ValidationError, id="already taken")

    assert "was rejected with another error:\n  expected ValidationError\n  but is   ObjectNotFoundError: " in failing(
        lambda: told.then_rejected(ValidationError)
    )
    assert "another text:\n  expected /too late/\n  but is   there is no Order" in failing(
        lambda: told.then_rejected(match="too late")
    )
    assert "for other reasons:\n  id  expected /too long/\n      but is   is already taken" in failing(
        lambda: taken.then_rejected(ValidationError, id="too long")
    )
    said = failing(lambda: told.then(event(shop, "OrderShipped", order_id="1")))
    assert said.startswith("Ship(order_id='1') was rejected, ObjectNotFoundError: ")
    assert "OrderShipped(order_id='1')" in said
    with pytest.raises(AssertionError) as failed:
        _ = told.result
    assert isinstance(failed.value.__cause__, ObjectNotFoundError)


def test_a_step_that_was_not_rejected_says_what_it_led_to(small_shop: Shop) -> None:
    told = given(small_shop.domain).when(small_shop.Place(order_id="1"))
    said = failing(lambda: told.then_rejected(ValidationError))
    assert "Place(order_id='1') was not rejected, expected was ValidationError" in said
    assert "OrderPlaced(order_id='1')" in said


@pytest.mark.proves("protean.testing.like")
def test_other_events_than_expected_are_shown_field_by_field_with_the_past(small_shop: Shop) -> None:
    shop = small_shop
    received = type(event(shop, "PaymentReceived", id="x", amount=1))
    past = given(shop.domain, shop.order(id="1"))
    told = past.when(shop.Pay(order_id="1", amount=7))
    said = failing(
        lambda: told.then(event(shop, "OrderPlaced", order_id="1"), like(received, reference="1", amount=10))
    )
    assert said.startswith("Pay(order_id='1', amount=7) has other events than expected:\n")
    assert "  missing: OrderPlaced(order_id='1')\n  1. PaymentReceived\n" in said
    assert "      amount  expected 10\n              but is   7\n" in said
    assert "reference  " not in said.partition("expected:\n")[0]  # what is equal is not in the way
    assert "expected:\n  OrderPlaced(order_id='1')\n  PaymentReceived(reference='1', amount=10, …)\nactual:\n" in said
    assert said.endswith("given Order(id='1', status='placed', reminders=0)")
    assert "1. not expected: PaymentReceived(" in failing(told.then)
    assert "missing: OrderPlaced(…)" in failing(
        lambda: told.then(received, type(event(shop, "OrderPlaced", order_id="1")))
    )


def test_a_state_other_than_expected_is_shown_field_by_field(small_shop: Shop) -> None:
    shop = small_shop
    told = given(shop.domain).when(shop.Place(order_id="1"))
    assert failing(lambda: told.then_state(shop.order, "1", status="shipped", reminders=0)) == (
        "Order '1', after Place(order_id='1'), is in another state than expected:\n"
        "  status  expected 'shipped'\n          but is   'placed'"
    )
    assert "there is no Order '2'" in failing(lambda: told.then_state(shop.order, "2"))
    assert "there is a Order '1'" in failing(lambda: told.then_gone(shop.order, "1"))
    with pytest.raises(InvalidOperationError, match="Order has no field `statsu`, did you mean `status`"):
        told.then_state(shop.order, "1", statsu="shipped")


def test_a_handler_that_fails_at_what_is_given_or_follows_is_no_silent_matter(shop: Shop) -> None:
    shop.fails.add("placed")
    with pytest.raises(StuckError, match="cannot take placed"):
        given(shop.domain, shop.Place(order_id="1"))
    shop.fails = {"paid 10"}
    told = given(shop.domain).when(shop.Pay(order_id="2", amount=10))
    told.then_rejected if told.error else told.then_gone  # noqa: B018 - what the command itself did stands
    with pytest.raises(StuckError):
        told.then_followed()


def test_what_does_not_say_whose_it_is_can_be_said_and_other_things_are_refused(small_shop: Shop) -> None:
    shop = small_shop
    lost = type(event(shop, "OrderPlaced", order_id="1"))

    @shop.domain.event(part_of=shop.order)
    class Noted:
        """Has no field that names its order."""

    past = given(shop.domain, shop.order(id="1"))
    with pytest.raises(InvalidOperationError, match=r"no field called id or order_id; say it: .history\(Order"):
        past.and_(Noted())
    past.history(shop.order, "1", Noted())
    assert [message.type for message in shop.domain.event_store.read("order-1")] == ["Noted"]
    with pytest.raises(InvalidOperationError, match="given are aggregates, projections, events and commands"):
        past.and_(42)
    with pytest.raises(InvalidOperationError, match="takes a command, an event or a function, not 42"):
        past.when(42)
    with pytest.raises(InvalidOperationError, match="expected are events and commands"):
        past.when(shop.Place(order_id="9")).then(42)
    with pytest.raises(InvalidOperationError, match="OrderPlaced has no field `order`, did you mean `order_id`"):
        like(lost, order="1")
