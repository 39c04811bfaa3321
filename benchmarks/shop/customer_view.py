"""The read model whose freshness is measured, and the handler that can be made slow."""

from __future__ import annotations

import os
import threading
import time

import psycopg

from benchmarks.shop.customer import Customer, CustomerRegistered, CustomerRenamed, CustomerTierChanged
from benchmarks.shop.domain import shop
from protean import current_domain, on
from protean.elements.projection import Projection
from protean.fields import Identifier, Integer, String

#: A change to this tier is more than its handler can take.
POISON = "poison"
#: A change to this tier costs its handler `SLOW_CPU` seconds of computing and `SLOW_SQL` of waiting.
SLOW_TIER = "slow"
SLOW_CPU, SLOW_SQL = 0.010, 0.010

_local = threading.local()


@shop.projection
class CustomerView(Projection):
    """`changes` counts what was applied after the registration: what is lost or done twice shows here."""

    customer_id: str = Identifier(identifier=True)
    name: str = String(max_length=100, required=True)
    loyalty_tier: str | None = String(max_length=20, default=None)
    changes: int = Integer(default=0)


@shop.projector(projector_for=CustomerView, aggregates=[Customer])
class CustomerProjector:
    @on(CustomerRegistered)
    def registered(self, event: CustomerRegistered) -> None:
        current_domain.repository_for(CustomerView).add(CustomerView(customer_id=event.customer_id, name=event.name))

    @on(CustomerRenamed)
    def renamed(self, event: CustomerRenamed) -> None:
        repository = current_domain.repository_for(CustomerView)
        view = repository.get(event.customer_id)
        view.name = event.name
        view.changes += 1
        repository.add(view)

    @on(CustomerTierChanged)
    def tier_changed(self, event: CustomerTierChanged) -> None:
        if event.loyalty_tier == POISON:
            raise ValueError(f"{event.customer_id} is poisoned")
        if event.loyalty_tier == SLOW_TIER:
            _take_long()
        repository = current_domain.repository_for(CustomerView)
        view = repository.get(event.customer_id)
        view.loyalty_tier = event.loyalty_tier
        view.changes += 1
        repository.add(view)


def _take_long() -> None:
    """Compute in Python, holding the interpreter, then wait for the database on a connection of its own."""
    until = time.thread_time() + SLOW_CPU
    while time.thread_time() < until:
        pass
    connection: psycopg.Connection | None = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    connection.execute("SELECT pg_sleep(%s)", (SLOW_SQL,))
