"""Mistakes in declarations, and with what was declared."""

from __future__ import annotations

from protean import Aggregate, Command, Domain, Entity, Event, Value
from protean.fields import Auto, Identifier, Integer, List, String, ValueObject

domain = Domain("shop", config={})


@domain.value_object
class Money(Value):
    amount: int = Integer(required=True)
    currency: str = String(default="EUR")


@domain.aggregate
class Customer(Aggregate):
    id: str = Auto(identifier=True)
    name: str = String(max_length=50, required=True)
    tags: list[str] = List(str, default=list)
    credit: Money | None = ValueObject(Money, default=None)


@domain.entity(part_of=Customer)
class Address(Entity):
    street: str


@domain.event(part_of=Customer)
class Registered(Event):
    customer_id: str = Identifier(required=True)
    name: str


@domain.command(part_of=Customer)
class Register(Command):
    name: str


customer = Customer(name="Ada")
Customer()  # E: call-arg | reportCallIssue
Customer(name=5)  # E: arg-type | reportArgumentType
Customer(nmae="Ada")  # E: call-arg | reportCallIssue
Customer("Ada")  # E: call-arg | reportCallIssue
Customer(name="Ada", credit=5)  # E: arg-type | reportArgumentType
Customer(name="Ada", tags="new")  # E: arg-type | reportArgumentType
customer.name = 5  # E: assignment | reportAttributeAccessIssue
customer.tags.append(5)  # E: arg-type | reportArgumentType
print(customer.nmae)  # E: attr-defined | reportAttributeAccessIssue
customer.credit.amount  # E: union-attr | reportOptionalMemberAccess
Money(amount="1")  # E: arg-type | reportArgumentType
Money(amount=1).amount = 2  # E: misc | reportAttributeAccessIssue
Money(amount=1).replace(2)  # E: call-arg | reportCallIssue
Address()  # E: call-arg | reportCallIssue
Register(name="Ada").name = "Bea"  # E: misc | reportAttributeAccessIssue
Registered(customer_id="1", name="Ada").customer_id = "2"  # E: misc | reportAttributeAccessIssue
String(max_lenght=5)  # E: call-arg | reportCallIssue
Integer(min_value="1")  # E: arg-type | reportArgumentType
domain.aggregate(stream_categry="x")  # E: call-overload | reportCallIssue
domain.event(part_of=5)  # E: call-overload | reportArgumentType
domain.entity(indexes=[5])  # E: list-item | reportArgumentType
