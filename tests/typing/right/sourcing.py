"""Event-sourced aggregates, and messages that change over the years."""

from __future__ import annotations

from typing import Any, assert_type

from protean import Aggregate, Domain, Event, apply, handle
from protean.fields import Identifier, Integer, String

domain = Domain("shop", config={})


@domain.event(part_of="Order")
class OrderPlaced(Event):
    __version__ = 2

    order_id: str = Identifier(required=True)
    customer: str = String(required=True)
    quantity: int = 1


@domain.event(part_of="Order")
class OrderMoved(Event):
    order_id: str = Identifier(required=True)


@domain.aggregate(event_sourced=True, fact_events=True, stream_category="orders")
class Order(Aggregate):
    order_id: str = Identifier(identifier=True)
    customer: str | None = String(default=None)
    quantity: int = Integer(default=0)
    moves: int = Integer(default=0)

    @classmethod
    def place(cls, order_id: str, customer: str) -> Order:
        order = cls(order_id=order_id)
        order.raise_(OrderPlaced(order_id=order_id, customer=customer))
        return order

    @apply
    def placed(self, event: OrderPlaced) -> None:
        self.customer = event.customer
        self.quantity += event.quantity

    @apply(OrderMoved)
    def moved(self, event: OrderMoved) -> None:
        self.moves += 1


@domain.upcaster(event_type=OrderPlaced, from_version=1, to_version=2)
class CountedPlaced:
    def upcast(self, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "quantity": 1}


@domain.event_handler(part_of=Order)
class Mirror:
    @handle("OrderFactEvent")
    def told(self, fact: Any) -> None:
        print(fact.customer)


assert_type(Order.place("1", "Ada"), Order)
assert_type(Order.place("1", "Ada").placed(OrderPlaced(order_id="1", customer="Ada")), None)
assert_type(domain.repository_for(Order).get("1", at_version=3).moves, int)
assert_type(domain.create_snapshot(Order, "1"), int)
assert_type(CountedPlaced().upcast({}), dict[str, Any])
assert_type(list(domain.create_snapshots(Order)), list[int])
