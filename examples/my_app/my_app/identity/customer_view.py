"""What the API shows of a customer: kept up to date by a projector, read without touching the aggregate."""

from __future__ import annotations

from my_app.identity.customer import Customer, CustomerRegistered, CustomerUpdated
from my_app.identity.domain import identity
from protean import Projection, current_domain, on
from protean.fields import Float, Identifier, String


@identity.projection
class CustomerView(Projection):
    customer_id: str = Identifier(identifier=True)
    name: str = String(max_length=100, required=True)
    email: str = String(max_length=254, required=True)
    lifetime_spend: float = Float(default=0.0)
    loyalty_tier: str | None = String(max_length=20, default=None)


@identity.projector(projector_for=CustomerView, aggregates=[Customer])
class CustomerProjector:
    """Sees a customer's events in their order, each once, whichever lane brings them."""

    @on(CustomerRegistered)
    def registered(self, event: CustomerRegistered) -> None:
        current_domain.repository_for(CustomerView).add(
            CustomerView(
                customer_id=event.customer_id,
                name=event.name,
                email=event.email,
                lifetime_spend=event.lifetime_spend,
            )
        )

    @on(CustomerUpdated)
    def updated(self, event: CustomerUpdated) -> None:
        repository = current_domain.repository_for(CustomerView)
        view = repository.get(event.customer_id)
        if event.name is not None:
            view.name = event.name
        if event.loyalty_tier is not None:
            view.loyalty_tier = event.loyalty_tier
        repository.add(view)
