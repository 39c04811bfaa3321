# mypy: ignore-errors
"""Mistakes with classes that name no base."""

from __future__ import annotations

from protean import Domain
from protean.fields import Auto, String

domain = Domain("shop", config={})


@domain.value_object
class Money:
    amount: int


@domain.aggregate(schema_name="customers")
class Customer:
    id: str = Auto(identifier=True)
    name: str = String(max_length=50, required=True)


@domain.aggregate
class Order:
    number: int


@domain.event(part_of=Customer)
class Registered:
    name: str


@domain.event
class Left:
    name: str


Order()  # E: | reportCallIssue
Order(number="1")  # E: | reportArgumentType
Money(amount="1")  # E: | reportArgumentType
Money(amount=1).amount = 2  # E: | reportAttributeAccessIssue
Left(nmae="Ada")  # E: | reportCallIssue
Left(name="Ada").name = "Bea"  # E: | reportAttributeAccessIssue
Customer(name=5)  # E: | reportArgumentType
Registered(nmae="Ada")  # E: | reportCallIssue
