"""Orders. Event sourced: a shop is asked years later what was ordered, changed and promised when."""

from __future__ import annotations

from enum import Enum
from typing import Self
from uuid import uuid4

from protean import Aggregate, Command, Event, Value, apply, current_domain, handle, invariant
from protean.exceptions import InvalidOperationError, ValidationError
from protean.fields import Identifier, Integer, List, Status, String, ValueObject
from shop.domain import shop
from shop.money import Money
from shop.ordering.product import Product


class OrderStatus(Enum):
    PLACED = "placed"
    PAID = "paid"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"


@shop.value_object
class Item(Value):
    """What a customer asks for."""

    sku: str = Identifier(required=True)
    quantity: int = Integer(required=True, min_value=1, max_value=100)


@shop.value_object
class Line(Value):
    """What an order says of it: the price is that of the day, whatever happens to the product."""

    sku: str = Identifier(required=True)
    quantity: int = Integer(required=True, min_value=1, max_value=100)
    price: Money = ValueObject(Money, required=True)

    @property
    def total(self) -> Money:
        return self.price.times(self.quantity)


@shop.event(part_of="Order")
class OrderPlaced(Event):
    """Version 2 says the currency; see `years`. `card` is the provider's token, of no use to anybody else."""

    __version__ = 2
    order_id: str = Identifier(required=True)
    customer_id: str = Identifier(required=True)
    lines: list[Line] = List(ValueObject(Line), required=True, min_length=1)
    total: Money = ValueObject(Money, required=True)
    card: str = String(required=True, max_length=100)


@shop.event(part_of="Order")
class OrderPaid(Event):
    order_id: str = Identifier(required=True)


@shop.event(part_of="Order")
class OrderShipped(Event):
    order_id: str = Identifier(required=True)


@shop.event(part_of="Order")
class OrderCancelled(Event):
    order_id: str = Identifier(required=True)
    reason: str = String(required=True)


@shop.aggregate(event_sourced=True)
class Order(Aggregate):
    """Telling an order something twice is telling it once: whoever is not sure may repeat himself."""

    order_id: str = Identifier(identifier=True)
    customer_id: str | None = Identifier(default=None)
    lines: list[Line] = List(ValueObject(Line), default=list)
    total: Money | None = ValueObject(Money, default=None)
    status: OrderStatus | None = Status(
        OrderStatus,
        transitions={
            OrderStatus.PLACED: [OrderStatus.PAID, OrderStatus.CANCELLED],
            OrderStatus.PAID: [OrderStatus.SHIPPED],
        },
        default=None,
    )
    reason: str | None = String(default=None)

    @classmethod
    def place(cls, order_id: str, customer_id: str, lines: list[Line], card: str) -> Self:
        total = lines[0].total
        for line in lines[1:]:
            total += line.total
        order = cls(order_id=order_id)
        order.raise_(OrderPlaced(order_id=order_id, customer_id=customer_id, lines=lines, total=total, card=card))
        return order

    def pay(self) -> None:
        """What comes too late, for an order that is cancelled, changes nothing: the money goes back."""
        if self.status is OrderStatus.PLACED:
            self.raise_(OrderPaid(order_id=self.order_id))

    def ship(self) -> None:
        if self.status is not OrderStatus.SHIPPED:
            self.raise_(OrderShipped(order_id=self.order_id))

    def cancel(self, reason: str) -> None:
        """Raises InvalidOperationError once it is paid: then it is on its way."""
        if self.status in (OrderStatus.PAID, OrderStatus.SHIPPED):
            raise InvalidOperationError(f"order {self.order_id} is {self.status.value} and can only be sent back")
        if self.status is OrderStatus.PLACED:
            self.raise_(OrderCancelled(order_id=self.order_id, reason=reason))

    @invariant.post
    def names_each_product_once(self) -> None:
        skus = [line.sku for line in self.lines]
        if len(set(skus)) < len(skus):
            raise ValidationError({"lines": ["name a product twice; ask for more of it instead"]})

    @apply
    def placed(self, event: OrderPlaced) -> None:
        self.customer_id, self.lines, self.total = event.customer_id, event.lines, event.total
        self.status = OrderStatus.PLACED

    @apply
    def paid(self, _event: OrderPaid) -> None:
        self.status = OrderStatus.PAID

    @apply
    def shipped(self, _event: OrderShipped) -> None:
        self.status = OrderStatus.SHIPPED

    @apply
    def cancelled(self, event: OrderCancelled) -> None:
        self.status, self.reason = OrderStatus.CANCELLED, event.reason


@shop.command(part_of=Order)
class PlaceOrder(Command):
    """Who chooses the identity may repeat himself; `card` is a token of the payment provider."""

    order_id: str = Identifier(default=lambda: str(uuid4()))
    customer_id: str = Identifier(required=True)
    items: list[Item] = List(ValueObject(Item), required=True, min_length=1, max_length=20)
    card: str = String(required=True, max_length=100)


@shop.command(part_of=Order)
class MarkOrderPaid(Command):
    order_id: str = Identifier(required=True)


@shop.command(part_of=Order)
class ShipOrder(Command):
    order_id: str = Identifier(required=True)


@shop.command(part_of=Order)
class CancelOrder(Command):
    order_id: str = Identifier(required=True)
    reason: str = String(required=True)


@shop.command_handler(part_of=Order)
class Counter:
    @handle(PlaceOrder)
    def place(self, command: PlaceOrder) -> str:
        """The identity of the new order."""
        products = current_domain.repository_for(Product)
        lines = [
            Line(sku=item.sku, quantity=item.quantity, price=products.get(item.sku).price) for item in command.items
        ]
        order = Order.place(command.order_id, command.customer_id, lines, command.card)
        current_domain.repository_for(Order).add(order)
        return order.order_id

    @handle(MarkOrderPaid)
    def mark_paid(self, command: MarkOrderPaid) -> None:
        current_domain.repository_for(Order).get(command.order_id).pay()

    @handle(ShipOrder)
    def ship(self, command: ShipOrder) -> None:
        current_domain.repository_for(Order).get(command.order_id).ship()

    @handle(CancelOrder)
    def cancel(self, command: CancelOrder) -> None:
        current_domain.repository_for(Order).get(command.order_id).cancel(command.reason)
