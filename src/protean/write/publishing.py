"""Which of the messages that are written are for others to know, too."""

from __future__ import annotations

from collections.abc import Sequence

from protean.message import MessageKind, NewMessage
from protean.ports.database import Transaction
from protean.write.context import ActiveDomain


def published_among(domain: ActiveDomain, messages: Sequence[NewMessage]) -> list[NewMessage]:
    """Those that brokers beyond the domain are to get, in the same order; none without such brokers."""
    if not domain.external_brokers:
        return []
    names = domain.registry.published
    return [each for each in messages if each.type in names and each.kind is MessageKind.EVENT]


def publish(domain: ActiveDomain, transaction: Transaction, messages: Sequence[NewMessage]) -> None:
    """Note, in the transaction that has just written these messages, which of them are to be published."""
    if published := published_among(domain, messages):
        transaction.publications.add(published, domain.external_brokers)
