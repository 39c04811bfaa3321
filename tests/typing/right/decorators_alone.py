# mypy: ignore-errors
"""Classes that name no base: pyright follows the decorators, mypy does not follow those of an instance."""

from __future__ import annotations

from typing import assert_type

from protean import Domain, handle
from protean.fields import Auto, Identifier, Integer, String

domain = Domain("shop", config={})


@domain.value_object
class Money:
    amount: int
    currency: str = "EUR"


@domain.aggregate
class Customer:
    id: str = Auto(identifier=True)
    name: str = String(max_length=50, required=True)
    credit: Money | None = None


@domain.command(part_of=Customer)
class Register:
    name: str


@domain.event(part_of=Customer)
class Registered:
    customer_id: str = Identifier(required=True)
    name: str


@domain.projection
class CustomerView:
    customer_id: str = Identifier(identifier=True)
    orders: int = Integer(default=0)


@domain.query(part_of=CustomerView)
class FrequentCustomers:
    least: int = 3


@domain.command_handler(part_of=Customer)
class CustomerCommands:
    @handle(Register)
    def register(self, command: Register) -> str:
        return Customer(name=command.name).name


assert_type(Customer(name="Ada", credit=Money(amount=1)).name, str)
assert_type(CustomerCommands().register(Register(name="Ada")), str)
assert_type(domain.repository_for(Customer).get("1"), Customer)
print(Registered(customer_id="1", name="Ada"), CustomerView(customer_id="1"), FrequentCustomers())
