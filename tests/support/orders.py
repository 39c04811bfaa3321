"""Orders, event sourced or kept in rows: the same class either way, whose state is set by its events alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal as Money
from enum import Enum
from typing import Any

from protean import Domain, apply, current_domain, handle
from protean.fields import DateTime, Decimal, Dict, Identifier, Integer, List, String
from protean.message import Message


class Standing(Enum):
    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


@dataclass
class Orders:
    domain: Domain
    Order: Any
    Placed: Any
    Added: Any
    Closed: Any
    Place: Any
    Add: Any
    Close: Any
    facts: list[Any] = field(default_factory=list)

    @property
    def repo(self) -> Any:
        return self.domain.repository_for(self.Order)

    def place(self, order: str, customer: str = "Ann") -> None:
        self.domain.process(self.Place(order_id=order, customer=customer))

    def add(self, order: str, price: str = "1.50", sku: str = "pen") -> None:
        self.domain.process(self.Add(order_id=order, sku=sku, price=Money(price)))

    def close(self, order: str) -> None:
        self.domain.process(self.Close(order_id=order))

    def stream(self, order: str) -> list[Message]:
        return self.domain.event_store.read(f"order-{order}", limit=10_000)


def build_orders(  # noqa: C901  # a list of declarations, not a decision
    config: dict[str, Any], *, sourced: bool = True, facts: bool = False
) -> Orders:
    """A fresh domain; several over the same database are several processes' worth."""
    domain = Domain("orders", config=config)
    marked: Any = apply if sourced else lambda method: method

    @domain.event(part_of="Order")
    class OrderPlaced:
        order_id: Identifier(required=True)
        customer: String(required=True)
        at: DateTime(required=True)

    @domain.event(part_of="Order")
    class LineAdded:
        order_id: Identifier(required=True)
        sku: String(required=True)
        price: Decimal(required=True)

    @domain.event(part_of="Order")
    class OrderClosed:
        order_id: Identifier(required=True)

    class State:
        """What an order is, and what its events do to it."""

        order_id: Identifier(identifier=True)
        customer = String(required=True)
        placed_at = DateTime()
        total = Decimal(default=Money(0))
        lines = List(default=list)
        per_sku = Dict(default=dict)
        count = Integer(default=0)
        standing: Standing = Standing.NEW

        @marked
        def placed(self, event: OrderPlaced) -> None:
            self.customer = event.customer
            self.placed_at = event.at
            self.standing = Standing.OPEN

        @marked
        def added(self, event: LineAdded) -> None:
            self.lines = [*self.lines, event.sku]
            self.per_sku[event.sku] = self.per_sku.get(event.sku, 0) + 1
            self.total += event.price
            self.count += 1

        @marked
        def closed(self, event: OrderClosed) -> None:
            self.standing = Standing.CLOSED

    options: dict[str, Any] = {"event_sourced": True} if sourced else {}
    if facts:
        options |= {"fact_events": True, "published_facts": True}

    @domain.aggregate(**options)
    class Order(State):
        def happens(self, event: Any) -> None:
            """Raise it; where nobody else applies it, apply it too."""
            self.raise_(event)
            if not sourced:
                {"OrderPlaced": self.placed, "LineAdded": self.added, "OrderClosed": self.closed}[type(event).__name__](
                    event
                )

    @domain.command(part_of=Order)
    class Place:
        order_id: Identifier(required=True)
        customer: String(required=True)

    @domain.command(part_of=Order)
    class Add:
        order_id: Identifier(required=True)
        sku: String(required=True)
        price: Decimal(required=True)

    @domain.command(part_of=Order)
    class Close:
        order_id: Identifier(required=True)

    @domain.command_handler(part_of=Order)
    class Desk:
        @handle(Place)
        def place(self, command: Any) -> None:
            order = Order(order_id=command.order_id, customer=command.customer)
            at = datetime.fromisoformat("2030-01-01T12:00:00+00:00")
            order.happens(OrderPlaced(order_id=order.order_id, customer=command.customer, at=at))
            current_domain.repository_for(Order).add(order)

        @handle(Add)
        def add(self, command: Any) -> None:
            orders = current_domain.repository_for(Order)
            order = orders.get(command.order_id)
            order.happens(LineAdded(order_id=order.order_id, sku=command.sku, price=command.price))
            orders.add(order)

        @handle(Close)
        def close(self, command: Any) -> None:
            orders = current_domain.repository_for(Order)
            order = orders.get(command.order_id)
            order.happens(OrderClosed(order_id=order.order_id))
            orders.add(order)

    orders = Orders(domain, Order, OrderPlaced, LineAdded, OrderClosed, Place, Add, Close)
    if facts:

        @domain.event_handler(part_of=Order)
        class Archive:
            @handle("OrderFactEvent")
            def told(self, event: Any) -> None:
                orders.facts.append(event)

    domain.init()
    return orders


def state(order: Any, fields: Sequence[str] = ()) -> dict[str, Any]:
    """What an order holds, as plain values."""
    return {name: getattr(order, name) for name in fields or order.__protean__.fields}
