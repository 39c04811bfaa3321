"""Who acts: handlers, projectors, process managers, services, subscribers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, assert_type

from protean import (
    Aggregate,
    Command,
    Domain,
    Event,
    ProcessManager,
    Projection,
    UnitOfWork,
    current_domain,
    current_message,
    g,
    handle,
    handle_timeout,
    on,
    use_case,
)
from protean.fields import Auto, DateTime, Identifier, Integer, String
from protean.utils.processing import Priority, current_priority, processing_priority

domain = Domain("shop", config={})


@domain.aggregate
class Order(Aggregate):
    id: str = Auto(identifier=True)
    customer: str = String(required=True)


@domain.event(part_of=Order)
class OrderPlaced(Event):
    order_id: str = Identifier(required=True)
    customer: str


@domain.event(part_of=Order)
class OrderShipped(Event):
    order_id: str = Identifier(required=True)


@domain.command(part_of=Order)
class PlaceOrder(Command):
    customer: str


@domain.projection
class OrdersOfCustomer(Projection):
    customer: str = Identifier(identifier=True)
    orders: int = Integer(default=0)


@domain.command_handler(part_of=Order)
class OrderCommands:
    @handle(PlaceOrder)
    def place(self, command: PlaceOrder) -> str:
        order = Order(customer=command.customer)
        order.raise_(OrderPlaced(order_id=order.id, customer=order.customer))
        current_domain.repository_for(Order).add(order)
        return order.id


@domain.event_handler(part_of=Order)
class Notices:
    @handle(OrderPlaced)
    async def placed(self, event: OrderPlaced) -> None:
        g.customer = event.customer

    @handle("OrderFactEvent")
    @handle(OrderShipped)
    def shipped(self, event: OrderShipped) -> None:
        assert_type(current_message().position, int | None)


@domain.projector(projector_for=OrdersOfCustomer, aggregates=[Order])
class Counts:
    @on(OrderPlaced)
    def placed(self, event: OrderPlaced) -> None:
        rows = current_domain.repository_for(OrdersOfCustomer)
        row = rows.get_or_none(event.customer)
        assert_type(row, OrdersOfCustomer | None)
        row = row or OrdersOfCustomer(customer=event.customer)
        row.orders += 1
        assert_type(rows.add(row), OrdersOfCustomer)

    @on("$any")
    def anything_else(self, event: Event) -> None:
        """Counted elsewhere."""


@domain.process_manager(aggregates=[Order])
class Fulfillment(ProcessManager):
    order_id: str = Identifier(identifier=True)
    reminders: int = Integer(default=0)

    @handle(OrderPlaced, start=True, correlate="order_id")
    def placed(self, event: OrderPlaced) -> None:
        self.timeout_in(timedelta(hours=1), "late")

    @handle(OrderShipped, correlate={"order_id": "order_id"}, end=True)
    def shipped(self, event: OrderShipped) -> None:
        self.cancel_timeout("late")

    @handle_timeout("late")
    def remind(self) -> None:
        self.reminders += 1
        if not self.is_complete:
            self.mark_as_complete()


@domain.subscriber(stream="payments")
class Payments:
    def __call__(self, payload: Mapping[str, Any]) -> None:
        current_domain.process(PlaceOrder(customer=payload["customer"]), priority=Priority.LOW)


@domain.application_service(part_of=Order)
class Checkout:
    @use_case
    def buy(self, customer: str) -> str:
        return OrderCommands().place(PlaceOrder(customer=customer))


@domain.domain_service(part_of=[Order])
class Prices:
    def of(self, order: Order) -> int:
        return len(order.customer)


@domain.event_enricher
def region(event: object, aggregate: Aggregate) -> dict[str, str]:
    return {"region": current_message().headers["region"]}


assert_type(OrderCommands().place(PlaceOrder(customer="Ada")), str)
assert_type(Checkout().buy("Ada"), str)
assert_type(Prices().of(Order(customer="Ada")), int)
assert_type(region(None, Order(customer="Ada")), dict[str, str])
assert_type(Fulfillment(order_id="1").reminders, int)
with domain.domain_context(tenant="a"), processing_priority(Priority.LOW), UnitOfWork():
    assert_type(current_priority(), int)
current_domain.process(PlaceOrder(customer="Ada"), asynchronous=True, idempotency_key="1")
done = domain.process_many([PlaceOrder(customer="Ada")], idempotency_key=lambda command: str(command.customer))
assert_type(done.handled, int)
print([failed.error for failed in done.failed], current_domain.name, DateTime)
