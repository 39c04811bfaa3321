"""Customers: they register, change their name, and get a loyalty tier by what they spend.

The base classes (`Aggregate`, `Event`, `Command`) are for type checkers and may be left out; the decorators do
the work.
"""

from __future__ import annotations

from my_app.identity.domain import identity
from protean import Aggregate, Command, Event, current_domain, handle
from protean.fields import Auto, Float, Identifier, String


@identity.event(part_of="Customer")
class CustomerRegistered(Event):
    customer_id: str = Identifier(required=True)
    name: str = String(max_length=100, required=True)
    email: str = String(max_length=254, required=True)
    lifetime_spend: float = Float(default=0.0)


@identity.event(part_of="Customer")
class CustomerUpdated(Event):
    """Something about a customer changed; what is None stayed as it was."""

    customer_id: str = Identifier(required=True)
    name: str | None = String(max_length=100, default=None)
    loyalty_tier: str | None = String(max_length=20, default=None)


@identity.aggregate
class Customer(Aggregate):
    """`loyalty_tier` came later: customers from before have none until a migration gives them one."""

    id: str = Auto(identifier=True)
    name: str = String(max_length=100, required=True)
    email: str = String(max_length=254, required=True)
    lifetime_spend: float = Float(default=0.0, min_value=0.0)
    loyalty_tier: str | None = String(max_length=20, default=None)

    def tell_registration(self) -> None:
        self.raise_(
            CustomerRegistered(
                customer_id=self.id, name=self.name, email=self.email, lifetime_spend=self.lifetime_spend
            )
        )

    def rename(self, name: str) -> None:
        self.name = name
        self.raise_(CustomerUpdated(customer_id=self.id, name=name))

    def move_to_tier(self, tier: str) -> None:
        self.loyalty_tier = tier
        self.raise_(CustomerUpdated(customer_id=self.id, loyalty_tier=tier))


@identity.command(part_of="Customer")
class RegisterCustomer(Command):
    """The caller may choose the identity, and so repeat a request without registering anybody twice."""

    customer_id: str | None = Identifier(default=None)
    name: str = String(max_length=100, required=True)
    email: str = String(max_length=254, required=True)
    lifetime_spend: float = Float(default=0.0, min_value=0.0)


@identity.command(part_of="Customer")
class RenameCustomer(Command):
    customer_id: str = Identifier(required=True)
    name: str = String(max_length=100, required=True)


@identity.command(part_of="Customer")
class UpdateCustomerTier(Command):
    customer_id: str = Identifier(required=True)
    loyalty_tier: str = String(max_length=20, required=True)


@identity.command_handler(part_of=Customer)
class CustomerCommandHandler:
    @handle(RegisterCustomer)
    def register(self, command: RegisterCustomer) -> str:
        """The identity of the new customer."""
        chosen = {"id": command.customer_id} if command.customer_id else {}
        customer = Customer(name=command.name, email=command.email, lifetime_spend=command.lifetime_spend, **chosen)
        customer.tell_registration()
        current_domain.repository_for(Customer).add(customer)
        return customer.id

    @handle(RenameCustomer)
    def rename(self, command: RenameCustomer) -> None:
        repository = current_domain.repository_for(Customer)
        customer = repository.get(command.customer_id)
        customer.rename(command.name)
        repository.add(customer)

    @handle(UpdateCustomerTier)
    def update_tier(self, command: UpdateCustomerTier) -> None:
        repository = current_domain.repository_for(Customer)
        customer = repository.get(command.customer_id)
        customer.move_to_tier(command.loyalty_tier)
        repository.add(customer)
