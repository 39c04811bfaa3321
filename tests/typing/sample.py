"""User code as mypy --strict reads it. Lines marked `E:` must be reported, and no others."""

from __future__ import annotations

from typing import assert_type

from protean.elements.aggregate import Aggregate
from protean.elements.command import Command
from protean.elements.declarations import Declarations
from protean.elements.event import Event
from protean.elements.handlers import handle, on
from protean.elements.projection import Projection
from protean.elements.registry import Registry
from protean.fields import Auto, Float, Identifier, List, String

domain = Declarations(Registry())


@domain.aggregate
class Customer(Aggregate):
    id: str = Auto(identifier=True)
    name: str = String(max_length=50, required=True)
    email: str | None = String(default=None)
    tags: list[str] = List(str, default=list)
    lifetime_spend: float = 0.0

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
assert_type(Registers().register(Register(name="Ada")), str)

Customer(name=5)  # E: arg-type
Customer(nmae="Ada")  # E: call-arg
Register("Ada")  # E: call-arg
Register(name="Ada").name = "Bea"  # E: misc
print(Registered(customer_id="1", name="Ada").nmae)  # E: attr-defined
domain.aggregate(stream_categry="x")  # E: call-overload
handle(5)  # E: arg-type
