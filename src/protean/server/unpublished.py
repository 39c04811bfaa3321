"""Published events that brokers beyond the domain have not got yet, as people ask about them."""

from __future__ import annotations

from dataclasses import dataclass

from protean.clock import utc_now
from protean.domain import Domain
from protean.ports.publications import PublicationCount

#: Rows deleted in one transaction.
BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Unpublished:
    """What one broker has not got of one category, from one database. `meant`: the configuration still has it."""

    provider: str
    count: PublicationCount
    meant: bool

    @property
    def age(self) -> float:
        """Of the oldest, in seconds."""
        return (utc_now() - self.count.oldest).total_seconds()


def unpublished(domain: Domain) -> list[Unpublished]:
    """Everything that is not published; databases that nothing is published from are not asked.

    Raises DatabaseError.
    """
    if not (domain.external_brokers or domain.registry.published):
        return []
    return [
        Unpublished(provider, count, count.broker in domain.external_brokers)
        for provider in sorted({aggregate.__protean__.provider for aggregate in domain.registry.aggregates})
        for count in domain.database(provider).publications.count()
    ]


def forget(domain: Domain, provider: str, broker: str) -> int:
    """Delete what is kept for a broker that will never get it; how many rows."""
    forgotten = 0
    while step := domain.database(provider).publications.forget(broker, BATCH):
        forgotten += step
    return forgotten
