"""What is declared: fields, aggregates and their parts, values, messages."""

from __future__ import annotations

import datetime as dt
import decimal
from enum import Enum
from typing import Any, assert_type

from protean import Aggregate, Command, Domain, Entity, Event, Index, Projection, Query, Value, atomic_change, invariant
from protean.exceptions import ValidationError
from protean.fields import (
    Auto,
    Boolean,
    Date,
    DateTime,
    Decimal,
    Dict,
    Float,
    HasMany,
    HasOne,
    Identifier,
    Integer,
    List,
    Method,
    Reference,
    Status,
    String,
    Text,
    ValueObject,
)

domain = Domain("shop", config={})


class Stage(Enum):
    DRAFT = "draft"
    PLACED = "placed"


@domain.value_object
class Money(Value):
    amount: decimal.Decimal = Decimal(required=True, min_value=0)
    currency: str = String(max_length=3, default="EUR")

    @invariant.post
    def has_a_currency(self) -> None:
        if not self.currency.isupper():
            raise ValidationError({"currency": ["must be upper case"]})


@domain.aggregate(indexes=["placed_on", Index("number", unique=True)], schema_name="orders")
class Order(Aggregate):
    id: str = Auto(identifier=True)
    number: int
    total: Money = ValueObject(Money, required=True)
    note: str | None = Text(default=None)
    tags: list[str] = List(str, default=list)
    extra: dict[str, int] = Dict(int, default=dict)
    weight: float = Float(default=0.0)
    paid: bool = Boolean(default=False)
    placed_on: dt.date | None = Date(default=None)
    placed_at: dt.datetime | None = DateTime(default=None)
    stage: Stage = Status(Stage, transitions={Stage.DRAFT: [Stage.PLACED]}, default=Stage.DRAFT)
    lines: list[OrderLine] = HasMany("OrderLine")
    address: Address | None = HasOne("Address")
    customer_id: str | None = None
    title: str = Method("described")

    def described(self) -> str:
        return f"{self.number}: {len(self.lines)} lines, saved {self._version + 1} times"

    @classmethod
    def place(cls, number: int, total: Money) -> Order:
        order = cls(number=number, total=total)
        order.raise_(OrderPlaced(order_id=order.id, number=number))
        return order


@domain.entity(part_of=Order)
class OrderLine(Entity):
    id: str = Auto(identifier=True)
    sku: str = String(required=True)
    quantity: int = Integer(default=1, min_value=1)
    order = Reference(Order)

    def ship(self) -> None:
        self.raise_(OrderPlaced(order_id="1", number=self.quantity))


@domain.entity(part_of="Order")
class Address(Entity):
    id: str = Auto(identifier=True)
    street: str


@domain.event(part_of=Order, aliases=["OrderMade"])
class OrderPlaced(Event):
    __version__ = 2

    order_id: str = Identifier(required=True)
    number: int


@domain.command(part_of="Order")
class PlaceOrder(Command):
    number: int
    currency: str = "EUR"


@domain.projection(schema_name="order_list")
class OrderSummary(Projection):
    order_id: str = Identifier(identifier=True)
    number: int = Integer(default=0)


@domain.query(part_of=OrderSummary)
class OrdersFrom(Query):
    least: int = 3


order = Order(number=1, total=Money(amount=decimal.Decimal(5)), tags=["new"])
assert_type(order.id, str)
assert_type(order.total.amount, decimal.Decimal)
assert_type(order.note, str | None)
assert_type(order.stage, Stage)
assert_type(order.lines[0].sku, str)
assert_type(order.address, Address | None)
assert_type(order.to_dict(), dict[str, Any])
assert_type(Money(amount=decimal.Decimal(1)).replace(currency="USD"), Money)
assert_type(OrderPlaced(order_id=order.id, number=1).number, int)
assert_type(PlaceOrder(number=1).currency, str)
assert_type(OrdersFrom().least, int)

order.note = "ring twice"
order.lines.append(OrderLine(sku="A-1"))
with atomic_change(order):
    order.stage = Stage.PLACED
