"""One aggregate and its events, with nothing stored."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.support.orders import Orders, Standing, build_orders

from protean.clock import utc_now
from protean.exceptions import InvalidOperationError, ValidationError
from protean.testing import given_aggregate


@pytest.fixture
def sourced() -> Orders:
    return build_orders({})


def placed(orders: Orders, order_id: str = "1") -> Any:
    return orders.Placed(order_id=order_id, customer="Ann", at=utc_now())


@pytest.mark.proves("protean.testing.given_aggregate")
def test_its_history_is_replayed_and_what_it_raises_then_is_looked_at(sourced: Orders) -> None:
    added = sourced.Added(order_id="1", sku="pen", price=Decimal(2))
    order = given_aggregate(sourced.Order, placed(sourced), added)
    assert (order.aggregate.order_id, order.aggregate.customer, order.aggregate.total) == ("1", "Ann", 2)
    done = order.when(lambda order: order.happens(sourced.Closed(order_id=order.order_id)))
    done.then(sourced.Closed(order_id="1")).then_state(standing=Standing.CLOSED, lines=["pen"])
    done.when(lambda order: None).then()


def test_one_that_is_made_anew_is_looked_at(sourced: Orders) -> None:
    def place(_: Any) -> Any:
        order = sourced.Order(order_id="7", customer="Bob")
        order.happens(placed(sourced, "7"))
        return order

    given_aggregate(sourced.Order).when(place).then(sourced.Placed).then_state(order_id="7", customer="Ann")


def test_a_rejection_leaves_it_as_it_was(sourced: Orders) -> None:
    def refuse(order: Any) -> None:
        raise ValidationError({"order": ["is closed"]})

    def refuse_late(order: Any) -> None:
        order.happens(sourced.Closed(order_id="1"))
        refuse(order)

    given_aggregate(sourced.Order, placed(sourced)).when(refuse).then_rejected(order="closed")
    with pytest.raises(AssertionError, match="has other events than expected"):
        given_aggregate(sourced.Order, placed(sourced)).when(refuse_late).then_rejected()
    with pytest.raises(AssertionError, match="was not rejected"):
        given_aggregate(sourced.Order, placed(sourced)).when(lambda order: None).then_rejected()


def test_one_kept_in_rows_is_given_as_it_is() -> None:
    orders = build_orders({}, sourced=False)
    order = orders.Order(order_id="1", customer="Ann", standing=Standing.OPEN)
    order.happens(placed(orders))
    closing = given_aggregate(order).when(lambda order: order.happens(orders.Closed(order_id="1")))
    closing.then(orders.Closed(order_id="1")).then_state(standing=Standing.CLOSED)

    def half(order: Any) -> None:
        order.count = 9
        raise ValidationError({"order": ["is closed"]})

    with pytest.raises(
        AssertionError, match=r"in another state than expected:\n  count  expected 0\n         but is   9"
    ):
        given_aggregate(order).when(half).then_rejected()
    with pytest.raises(InvalidOperationError, match="class of an event-sourced one"):
        given_aggregate(orders.Order, placed(orders))
    with pytest.raises(InvalidOperationError, match="give the class to have them replayed"):
        given_aggregate(order, placed(orders))
