"""Orders that are paid, shipped or cancelled under the eyes of a process manager, which remembers what it was told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from protean import Domain, ProcessManager, codec, current_domain, handle, handle_timeout
from protean.clock import utc_now
from protean.fields import DateTime, Identifier, Integer, String
from protean.handle.executor import Executor
from protean.handle.retry import RetryPolicy
from protean.message import Message
from protean.ports.handling import Delivery, Outcome

#: Until a payment is reminded of, and until an order that nobody pays is cancelled.
REMINDER, PATIENCE = timedelta(minutes=10), timedelta(hours=1)


@dataclass
class Shop:
    """`fails` names what its process raises at; `between` runs inside of its handlers."""

    domain: Domain
    order: Any
    payment: Any
    process: Any
    Place: Any
    Pay: Any
    Ship: Any
    fails: set[str] = field(default_factory=set)
    between: Callable[[str], None] = lambda what: None
    calls: list[str] = field(default_factory=list)
    reminder: timedelta = REMINDER
    patience: timedelta = PATIENCE

    def place(self, order_id: str) -> None:
        self.domain.process(self.Place(order_id=order_id))

    def pay(self, order_id: str, amount: int = 10) -> None:
        self.domain.process(self.Pay(order_id=order_id, amount=amount))

    def status(self, order_id: str) -> str:
        return str(self.domain.repository_for(self.order).get(order_id).status)

    def found(self, order_id: str) -> Any:
        return self.domain.repository_for(self.process).get_or_none(order_id)

    def executor(self, policy: RetryPolicy = RetryPolicy()) -> Executor:
        (spec,) = (spec for spec in self.domain.registry.handlers if spec.process is not None)
        return Executor(self.domain, spec, "default", policy)

    def log(self, stream_name: str) -> list[Message]:
        transaction = self.domain.database().transaction()
        try:
            return transaction.log.read(stream_name, -1, 100)
        finally:
            transaction.rollback()

    def deliver(self, stream_name: str, *, policy: RetryPolicy = RetryPolicy(), grouped: bool = False) -> list[Outcome]:
        """Hand all messages of a stream to the process manager, once more if they were handed over before."""
        deliveries = [
            Delivery(f"{message.global_position}-0", message.category, "primary", codec.encode(message))
            for message in self.log(stream_name)
        ]
        return self.executor(policy).execute(deliveries, grouped=grouped, go_on=lambda: True) if deliveries else []

    def timeouts(self, order_id: str) -> list[str]:
        """The names of those that are set and not told of."""
        transaction = self.domain.database().transaction()
        try:
            due = transaction.timeouts.due(["Fulfillment"], _far(), 1000)
            return sorted(timeout.name for timeout in due if timeout.key == order_id)
        finally:
            transaction.rollback()


def _far() -> datetime:
    return utc_now() + timedelta(days=365)


def build_shop(config: dict[str, Any]) -> Shop:  # noqa: C901  # a list of declarations, not a decision
    """A fresh domain; several over the same database are several processes' worth."""
    domain = Domain("fulfillment", config=config)

    @domain.event(part_of="Order")
    class OrderPlaced:
        order_id: Identifier(required=True)

    @domain.event(part_of="Order")
    class OrderShipped:
        order_id: Identifier(required=True)

    @domain.event(part_of="Order")
    class OrderCancelled:
        order_id: Identifier(required=True)
        reason: String()

    @domain.event(part_of="Payment")
    class PaymentReceived:
        id: Identifier(required=True)
        reference: Identifier()
        amount: Integer(required=True)

    @domain.aggregate
    class Order:
        status: String(default="placed")
        reminders: Integer(default=0)

    @domain.aggregate
    class Payment:
        amount: Integer(default=0)

    @domain.command(part_of=Order)
    class Place:
        order_id: Identifier(required=True)

    @domain.command(part_of=Order)
    class Ship:
        order_id: Identifier(required=True)

    @domain.command(part_of=Order)
    class Remind:
        order_id: Identifier(required=True)

    @domain.command(part_of=Order)
    class Cancel:
        order_id: Identifier(required=True)

    @domain.command(part_of=Payment)
    class Pay:
        order_id: Identifier()
        amount: Integer(required=True)

    @domain.command_handler(part_of=Order)
    class Orders:
        @handle(Place)
        def place(self, command: Any) -> None:
            order: Any = Order(id=command.order_id)
            order.raise_(OrderPlaced(order_id=order.id))
            current_domain.repository_for(Order).add(order)

        @handle(Ship)
        def ship(self, command: Any) -> None:
            order = current_domain.repository_for(Order).get(command.order_id)
            order.status = "shipped"
            order.raise_(OrderShipped(order_id=order.id))

        @handle(Remind)
        def remind(self, command: Any) -> None:
            current_domain.repository_for(Order).get(command.order_id).reminders += 1

        @handle(Cancel)
        def cancel(self, command: Any) -> None:
            order = current_domain.repository_for(Order).get(command.order_id)
            order.status = "cancelled"
            order.raise_(OrderCancelled(order_id=order.id, reason="nobody paid"))

    @domain.command_handler(part_of=Payment)
    class Payments:
        @handle(Pay)
        def pay(self, command: Any) -> None:
            payment: Any = Payment(amount=command.amount)
            payment.raise_(PaymentReceived(id=payment.id, reference=command.order_id, amount=command.amount))
            current_domain.repository_for(Payment).add(payment)

    @domain.process_manager(aggregates=[Order, Payment])
    class Fulfillment(ProcessManager):
        paid: Integer(default=0)
        told: list[str] = []
        asked_at: DateTime()

        def note(self, what: str) -> None:
            self.told = [*self.told, what]
            shop.calls.append(what)
            shop.between(what)
            if what in shop.fails:
                raise ValueError(f"cannot take {what}")

        @handle(OrderPlaced, start=True, correlate="order_id")
        def placed(self, event: Any) -> None:
            self.timeout_in(shop.reminder, "reminder")
            self.timeout_in(shop.patience, "unpaid")
            self.note("placed")

        @handle(PaymentReceived, correlate={"order_id": "reference"})
        def paid_for(self, event: Any) -> None:
            self.paid += event.amount
            if self.paid >= 10:
                self.cancel_timeout("reminder")
                self.cancel_timeout("unpaid")
                current_domain.process(Ship(order_id=self.order_id))
            else:
                self.timeout_in(shop.patience, "unpaid")
            self.note(f"paid {event.amount}")

        @handle(OrderShipped, correlate="order_id", end=True)
        def shipped(self, event: Any) -> None:
            self.note("shipped")

        @handle_timeout("reminder")
        def remind(self) -> None:
            current_domain.process(Remind(order_id=self.order_id))
            self.note("reminded")

        @handle_timeout("unpaid")
        async def give_up(self) -> None:
            current_domain.process(Cancel(order_id=self.order_id))
            self.mark_as_complete()
            self.note("given up")

    shop = Shop(domain, Order, Payment, Fulfillment, Place, Pay, Ship)
    domain.init()
    return shop
