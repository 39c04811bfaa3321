"""Orders of earlier years, and of servers that still run last year's code, are orders."""

from __future__ import annotations

from decimal import Decimal as Amount
from pathlib import Path
from typing import Any

import pytest
from examples.shop.tests.conftest import Store, wait_for
from shop.ordering.order import Order

from protean import Domain, Event, apply, current_domain, handle
from protean.fields import Decimal, Identifier, List, String
from protean.testing import assert_golden
from shop.domain import shop


def test_everything_ever_told_can_be_read() -> None:
    shop.init()
    assert_golden(shop, Path(__file__).parent / "golden")


@pytest.mark.parametrize("served", ["sqlite", "postgresql"], indirect=True)
def test_an_order_placed_by_a_server_of_the_first_version_is_shipped(served: Store) -> None:
    served.stock("mug", 5)
    first = shop_of_the_first_year(served.config)
    with first.domain_context():
        first.process(first.registry.elements["PlaceOrder"](order_id="2019-1"))
    first.close()
    wait_for(lambda: served.status("2019-1") == "shipped", lambda: str(served.payment("2019-1")))
    order = shop.repository_for(Order).get("2019-1")
    assert (str(order.total), str(order.lines[0].price), served.shelf("mug")) == ("19.00 EUR", "9.50 EUR", (3, 0))


def shop_of_the_first_year(config: dict[str, Any]) -> Domain:
    """The same name, database and stream, and orders as they were declared then."""
    domain = Domain("shop", config=config)

    @domain.event(part_of="Order")
    class OrderPlaced(Event):
        order_id: str = Identifier(required=True)
        customer_id: str = Identifier(required=True)
        lines: list[dict[str, Any]] = List(default=list)
        total: Amount = Decimal(required=True)
        card: str = String(required=True)

    @domain.aggregate(event_sourced=True)
    class Order:
        order_id: Identifier(identifier=True)

        @apply
        def placed(self, event: OrderPlaced) -> None:
            """Its state is of no interest here."""

    @domain.command(part_of=Order)
    class PlaceOrder:
        order_id: Identifier(required=True)

    @domain.command_handler(part_of=Order)
    class Counter:
        @handle(PlaceOrder)
        def place(self, command: Any) -> None:
            order: Any = Order(order_id=command.order_id)
            lines = [{"sku": "mug", "quantity": 2, "price": "9.50"}]
            order.raise_(
                OrderPlaced(order_id=order.order_id, customer_id="ann", lines=lines, total=Amount("19.00"), card="ok")
            )
            current_domain.repository_for(Order).add(order)

    domain.init()
    return domain
