"""What everybody who asks a domain's databases begins with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from protean.domain import Domain
from protean.ports.database import Transaction


def providers_of(domain: Domain) -> list[str]:
    """The databases that aggregates or projections of the domain are kept in."""
    return sorted(name for name, tables in domain.tables.items() if tables)


@contextmanager
def reading(domain: Domain, provider: str) -> Iterator[Transaction]:
    """A transaction that leaves nothing behind."""
    transaction = domain.database(provider).transaction()
    try:
        yield transaction
    finally:
        transaction.rollback()
