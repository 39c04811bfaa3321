"""Customers, who are renamed by production and given a tier by a migration."""

from __future__ import annotations

from benchmarks.shop.domain import shop
from protean import current_domain, handle
from protean.elements.aggregate import Aggregate
from protean.elements.command import Command
from protean.elements.event import Event
from protean.fields import Float, Identifier, String


@shop.event(part_of="Customer")
class CustomerRegistered(Event):
    customer_id: str = Identifier(required=True)
    name: str = String(max_length=100, required=True)
    email: str = String(max_length=254, required=True)
    lifetime_spend: float = Float(default=0.0)


@shop.event(part_of="Customer")
class CustomerRenamed(Event):
    customer_id: str = Identifier(required=True)
    name: str = String(max_length=100, required=True)


@shop.event(part_of="Customer")
class CustomerTierChanged(Event):
    customer_id: str = Identifier(required=True)
    loyalty_tier: str = String(max_length=20, required=True)


@shop.aggregate
class Customer(Aggregate):
    """Every command raises one event, so that the version is the position of the last event."""

    id: str = Identifier(identifier=True)
    name: str = String(max_length=100, required=True)
    email: str = String(max_length=254, required=True)
    lifetime_spend: float = Float(default=0.0, min_value=0.0)
    loyalty_tier: str | None = String(max_length=20, default=None)


@shop.command(part_of="Customer")
class RegisterCustomer(Command):
    customer_id: str = Identifier(required=True)
    name: str = String(max_length=100, required=True)
    email: str = String(max_length=254, required=True)


@shop.command(part_of="Customer")
class RenameCustomer(Command):
    customer_id: str = Identifier(required=True)
    name: str = String(max_length=100, required=True)


@shop.command(part_of="Customer")
class UpdateCustomerTier(Command):
    customer_id: str = Identifier(required=True)
    loyalty_tier: str = String(max_length=20, required=True)


@shop.command_handler(part_of=Customer)
class CustomerCommandHandler:
    @handle(RegisterCustomer)
    def register(self, command: RegisterCustomer) -> None:
        customer = Customer(id=command.customer_id, name=command.name, email=command.email)
        customer.raise_(CustomerRegistered(customer_id=customer.id, name=command.name, email=command.email))
        current_domain.repository_for(Customer).add(customer)

    @handle(RenameCustomer)
    def rename(self, command: RenameCustomer) -> None:
        repository = current_domain.repository_for(Customer)
        customer = repository.get(command.customer_id)
        customer.name = command.name
        customer.raise_(CustomerRenamed(customer_id=customer.id, name=command.name))
        repository.add(customer)

    @handle(UpdateCustomerTier)
    def update_tier(self, command: UpdateCustomerTier) -> None:
        repository = current_domain.repository_for(Customer)
        customer = repository.get(command.customer_id)
        customer.loyalty_tier = command.loyalty_tier
        customer.raise_(CustomerTierChanged(customer_id=customer.id, loyalty_tier=command.loyalty_tier))
        repository.add(customer)
