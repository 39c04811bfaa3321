"""Whatever happens in whatever order: no stock below zero, no money for nothing, nothing for no money."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from examples.shop.tests.conftest import Store, configuration, opened
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from shop.inventory.stock import ReceiveStock
from shop.ordering.order import CancelOrder, Order
from shop.ordering.summary import OrderSummary
from shop.payments import acmepay
from shop.sales import ProductSales

from protean.clock import utc_now
from protean.exceptions import InvalidOperationError
from shop.domain import shop

SKUS = ("mug", "plate", "lamp")
#: How many histories for each kind of database: the slower it is, the fewer.
HISTORIES = {"memory": 40, "sqlite": 8, "postgresql": 4}

ordering = st.tuples(
    st.just("order"),
    st.lists(st.sampled_from(SKUS), min_size=1, max_size=4),
    st.sampled_from(["ok", "ok", "declined", "silent"]),
)
receiving = st.tuples(st.just("receive"), st.sampled_from(SKUS), st.integers(1, 4))
other = st.tuples(st.sampled_from(["cancel", "hear", "remember", "time"]), st.integers(0, 20), st.none())
histories = st.lists(st.one_of(ordering, ordering, receiving, other, other), min_size=1, max_size=14)


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql"])
def test_stock_and_money_are_conserved(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    config = configuration(kind, request, tmp_path)
    count = iter(range(10_000))

    @settings(
        max_examples=HISTORIES[kind],
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    @given(histories)
    def conserved(history: list[tuple[str, Any, Any]]) -> None:
        with opened(config) as store:
            live(store, history, f"h{next(count)}-")

    conserved()


def live(store: Store, history: list[tuple[str, Any, Any]], run: str) -> None:
    """`run` begins all names, since a database keeps what earlier histories left there."""
    store.heard = len(shop.broker().entries(acmepay.NEWS, "-", 10_000))
    received = {f"{run}{sku}": 2 for sku in SKUS}
    for sku, quantity in received.items():
        store.stock(sku, quantity, "3.50")
    orders: list[str] = []
    for what, first, second in history:
        if what == "order":
            orders.append(store.order(f"{run}{len(orders)}", *(f"{run}{sku}" for sku in first), card=second))
        elif what == "receive":
            shop.process(ReceiveStock(sku=f"{run}{first}", quantity=second))
            received[f"{run}{first}"] += second
        elif what == "hear":
            store.hear()
        elif what == "time":
            shop.fire_timeouts(utc_now() + timedelta(minutes=16))
        elif orders:
            happens_to(orders[first % len(orders)], what)
        promises_hold(store, received)
    come_to_an_end(store)
    everything_adds_up(store, orders, received)


def happens_to(order_id: str, what: str) -> None:
    if what == "remember":
        if shop.view_for(OrderSummary).get(order_id).payment is not None:
            acmepay.remember(order_id)  # a provider that was never asked remembers nothing
        return
    try:
        shop.process(CancelOrder(order_id=order_id, reason="a change of mind"))
    except InvalidOperationError:
        assert shop.repository_for(Order).get(order_id).status is not None


def promises_hold(store: Store, received: dict[str, int]) -> None:
    for sku in received:
        on_hand, reserved = store.shelf(sku)
        assert 0 <= reserved <= on_hand


def come_to_an_end(store: Store) -> None:
    store.hear()
    shop.fire_timeouts(utc_now() + timedelta(minutes=16))
    store.hear()


def everything_adds_up(store: Store, orders: list[str], received: dict[str, int]) -> None:
    mine = [shop.repository_for(Order).get(order_id) for order_id in orders]
    shipped = [order for order in mine if order.status is not None and order.status.value == "shipped"]
    assert {store.status(order_id) for order_id in orders} <= {"shipped", "cancelled"}
    assert {order.order_id: order.total for order in shipped} == {
        order_id: shop.view_for(OrderSummary).get(order_id).total
        for order_id in orders
        if store.payment(order_id) == "captured"
    }
    for sku, count in received.items():
        sold = sum(line.quantity for order in shipped for line in order.lines if line.sku == sku)
        row = shop.view_for(ProductSales).get(sku)
        assert store.shelf(sku) == (count - sold, 0)
        assert (row.on_hand, row.reserved, row.sold, row.revenue) == (count - sold, 0, sold, sold * 35 / 10)
