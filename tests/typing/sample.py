"""User code as mypy --strict reads it. Lines marked `E:` must be reported, and no others."""

from __future__ import annotations

from typing import Any, assert_type

from protean.elements.aggregate import Aggregate
from protean.elements.command import Command
from protean.elements.declarations import Declarations
from protean.elements.event import Event
from protean.elements.guarding import atomic_change
from protean.elements.handlers import handle, on
from protean.elements.invariants import invariant
from protean.elements.projection import Projection
from protean.elements.registry import Registry
from protean.elements.value_object import Value
from protean.fields import Auto, Float, Identifier, Integer, List, Method, String, ValueObject
from protean.write.current import current_message

domain = Declarations(Registry())


@domain.value_object
class Money(Value):
    amount: int = Integer(required=True)
    currency: str = String(default="EUR")

    @invariant.post
    def is_positive(self) -> None:
        if self.amount < 0:
            raise ValueError("is negative")


@domain.aggregate
class Customer(Aggregate):
    id: str = Auto(identifier=True)
    name: str = String(max_length=50, required=True)
    email: str | None = String(default=None)
    tags: list[str] = List(str, default=list)
    lifetime_spend: float = 0.0
    credit: Money | None = ValueObject(Money, default=None)
    shouted: str = Method("shout")

    def shout(self) -> str:
        return self.name.upper()

    @classmethod
    def register(cls, name: str) -> Customer:
        customer = cls(name=name)
        customer.raise_(Registered(customer_id=customer.id, name=name))
        return customer


@domain.event(part_of=Customer)
class Registered(Event):
    __version__ = 2
    customer_id: str = Identifier(required=True)
    name: str


@domain.upcaster(event_type=Registered, from_version=1, to_version=2)
class AddName:
    def upcast(self, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "name": "?"}


@domain.event_enricher
def region(event: object, aggregate: Aggregate) -> dict[str, str]:
    return {"region": current_message().headers["region"]}


@domain.command(part_of="Customer")
class Register(Command):
    name: str


@domain.projection(schema_name="customers")
class CustomerView(Projection):
    customer_id: str = Identifier(identifier=True)
    spend: float = Float(default=0.0)


@domain.command_handler(part_of=Customer)
class Registers:
    @handle(Register)
    def register(self, command: Register) -> str:
        return Customer.register(command.name).id


@domain.projector(projector_for=CustomerView, aggregates=[Customer])
class Projects:
    @on(Registered)
    def registered(self, event: Registered) -> None:
        CustomerView(customer_id=event.customer_id)


assert_type(Customer(name="Ada").name, str)
assert_type(Customer(name="Ada", tags=["a"])._version, int)
assert_type(Money(amount=1).replace(amount=2), Money)
assert_type(Customer(name="Ada", credit=Money(amount=1)).shouted, str)
assert_type(Money(amount=1).to_dict(), dict[str, Any])
with atomic_change(Customer(name="Ada")):
    pass
assert_type(Registers().register(Register(name="Ada")), str)

Money(amount="1")  # E: arg-type
Money(amount=1).amount = 2  # E: misc
Customer(name="Ada", credit=5)  # E: arg-type
Customer(name=5)  # E: arg-type
Customer(nmae="Ada")  # E: call-arg
Register("Ada")  # E: call-arg
Register(name="Ada").name = "Bea"  # E: misc
print(Registered(customer_id="1", name="Ada").nmae)  # E: attr-defined
domain.aggregate(stream_categry="x")  # E: call-overload
domain.upcaster(event_type=Registered, from_version=1)  # E: call-arg
domain.event_enricher(5)  # E: type-var
assert_type(region(None, Customer(name="Ada")), dict[str, str])
assert_type(current_message().position, int | None)
handle(5)  # E: arg-type
