"""Mistakes in handlers and in asking a domain."""

from __future__ import annotations

from protean import Aggregate, Command, Domain, Event, ProcessManager, current_domain, handle, handle_timeout, use_case
from protean.fields import Identifier, Integer, String

domain = Domain("shop", config={})


@domain.aggregate
class Order(Aggregate):
    order_id: str = Identifier(identifier=True)
    customer: str = String(required=True)


@domain.event(part_of=Order)
class OrderPlaced(Event):
    order_id: str = Identifier(required=True)


@domain.command(part_of=Order)
class PlaceOrder(Command):
    customer: str


@domain.command_handler(part_of=Order)
class OrderCommands:
    @handle(PlaceOrder)
    def place(self, command: PlaceOrder) -> str:
        Order(order_id="1", customer=command.custmer)  # E: attr-defined | reportAttributeAccessIssue
        current_domain.repository_for(Order).add(command)  # E: arg-type | reportArgumentType
        return 5  # E: return-value | reportReturnType


@domain.process_manager(aggregates=[Order])
class Fulfillment(ProcessManager):
    order_id: str = Identifier(identifier=True)
    reminders: int = Integer(default=0)

    @handle(OrderPlaced, start=True, correlate="order_id")
    def placed(self, event: OrderPlaced) -> None:
        self.timeout_in(3600, "late")  # E: arg-type | reportArgumentType
        self.reminders = "none"  # E: assignment | reportAttributeAccessIssue

    @handle_timeout(5)  # E: arg-type | reportArgumentType
    def remind(self) -> None: ...


@domain.application_service(part_of=Order)
class Checkout:
    @use_case
    def buy(self, customer: str) -> str:
        return customer


handle(5)  # E: arg-type | reportArgumentType
handle(OrderPlaced, correlates="order_id")  # E: call-arg | reportCallIssue
OrderCommands().place(OrderPlaced(order_id="1"))  # E: arg-type | reportArgumentType
Checkout().buy(5)  # E: arg-type | reportArgumentType
domain.subscriber(steam="payments")  # E: call-overload | reportCallIssue
domain.projector(projector_for=5)  # E: call-overload | reportArgumentType
domain.upcaster(event_type=OrderPlaced, from_version=1)  # E: call-arg | reportCallIssue
domain.event_enricher(5)  # E: type-var | reportArgumentType
domain.process(PlaceOrder(customer="Ada"), prio=5)  # E: call-arg | reportCallIssue
domain.process_many(PlaceOrder(customer="Ada"))  # E: arg-type | reportArgumentType
