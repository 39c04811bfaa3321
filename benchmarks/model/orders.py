"""The objects that are made and written down, and beside each a plain pydantic model with the same fields and rules."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field

from protean import Aggregate, Command, Domain, Event
from protean.fields import Auto, Boolean, Date, Decimal, Identifier, Integer, String

orders = Domain("orders", config={})


@orders.aggregate
class Order(Aggregate):
    id: str = Auto(identifier=True)
    customer_id: str = Identifier(required=True)
    number: int = Integer(required=True, min_value=1)
    placed_on: dt.date = Date(required=True)
    total: decimal.Decimal = Decimal(required=True, min_value=0)
    currency: str = String(required=True, max_length=3)
    note: str | None = String(max_length=500, default=None)
    paid: bool = Boolean(default=False)


@orders.command(part_of=Order)
class PlaceOrder(Command):
    order_id: str = Identifier(required=True)
    customer_id: str = Identifier(required=True)
    number: int = Integer(required=True, min_value=1)
    currency: str = String(required=True, max_length=3)


@orders.command(part_of=Order)
class ImportOrder(Command):
    order_id: str = Identifier(required=True)
    customer_id: str = Identifier(required=True)
    number: int = Integer(required=True, min_value=1)
    placed_on: dt.date = Date(required=True)
    total: decimal.Decimal = Decimal(required=True, min_value=0)
    currency: str = String(required=True, max_length=3)
    note: str | None = String(max_length=500, default=None)
    paid: bool = Boolean(default=False)


@orders.event(part_of=Order)
class OrderPlaced(Event):
    order_id: str = Identifier(required=True)
    customer_id: str = Identifier(required=True)
    number: int = Integer(required=True, min_value=1)
    total: decimal.Decimal = Decimal(required=True, min_value=0)
    currency: str = String(required=True, max_length=3)
    placed_on: dt.date = Date(required=True)


Name = Annotated[str, Field(min_length=1, max_length=255)]
Number = Annotated[int, Field(ge=1, le=2**63 - 1)]
Total = Annotated[decimal.Decimal, Field(ge=0, max_digits=1000, allow_inf_nan=False)]
Currency = Annotated[str, Field(min_length=1, max_length=3)]
Note = Annotated[str, Field(max_length=500)]


def _identity() -> str:
    return str(uuid4())


class Plain(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PlainOrder(Plain):
    model_config = ConfigDict(validate_assignment=True)
    id: Name = Field(default_factory=_identity)
    customer_id: Name
    number: Number
    placed_on: dt.date
    total: Total
    currency: Currency
    note: Note | None = None
    paid: bool = False


class Frozen(Plain):
    model_config = ConfigDict(frozen=True)


class PlainPlaceOrder(Frozen):
    order_id: Name
    customer_id: Name
    number: Number
    currency: Currency


class PlainImportOrder(Frozen):
    order_id: Name
    customer_id: Name
    number: Number
    placed_on: dt.date
    total: Total
    currency: Currency
    note: Note | None = None
    paid: bool = False


class PlainOrderPlaced(Frozen):
    order_id: Name
    customer_id: Name
    number: Number
    total: Total
    currency: Currency
    placed_on: dt.date


class PlainMetadata(Frozen):
    id: UUID
    type: Name
    version: Number
    kind: Name
    stream_name: Name
    category: Name
    priority: int
    time: dt.datetime
    correlation_id: Name | None
    causation_id: Name | None
    position: int
    global_position: int


class PlainEnvelope(Frozen):
    data: PlainOrderPlaced
    metadata: PlainMetadata


#: What is given to the constructors; the order's identity is made up.
FOUR: dict[str, Any] = {"order_id": "4711", "customer_id": "c-1", "number": 12, "currency": "EUR"}
SIX: dict[str, Any] = {**FOUR, "total": decimal.Decimal("99.90"), "placed_on": dt.date(2025, 1, 31)}
EIGHT: dict[str, Any] = {**SIX, "note": "ring twice", "paid": True}
ORDER: dict[str, Any] = {name: value for name, value in EIGHT.items() if name != "order_id"}
