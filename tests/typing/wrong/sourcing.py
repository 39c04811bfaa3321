"""Mistakes in event-sourced aggregates."""

from __future__ import annotations

from protean import Aggregate, Domain, Event, apply
from protean.fields import Identifier, Integer

domain = Domain("shop", config={})


@domain.event(part_of="Order")
class OrderPlaced(Event):
    order_id: str = Identifier(required=True)
    quantity: int


@domain.aggregate(event_sourced=True)
class Order(Aggregate):
    order_id: str = Identifier(identifier=True)
    quantity: int = Integer(default=0)

    @apply
    def placed(self, event: OrderPlaced) -> None:
        self.quantity = event.order_id  # E: assignment | reportAttributeAccessIssue
        self.quantity += event.quantiy  # E: attr-defined | reportAttributeAccessIssue


Order(order_id="1").placed("OrderPlaced")  # E: arg-type | reportArgumentType
apply(5)  # E: call-overload | reportCallIssue
domain.aggregate(event_source=True)  # E: call-overload | reportCallIssue
domain.create_snapshot("Order", "1")  # E: arg-type | reportArgumentType
domain.repository_for(Order).get("1", as_of="yesterday")  # E: arg-type | reportArgumentType
