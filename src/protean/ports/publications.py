"""Published events: committed with the state that caused them, on their way to brokers beyond the domain.

They have a table of their own beside the outbox. What handlers of this domain are owed is proved by the outbox's rows;
a broker of somebody else's, which may be away for days, must have no part in that.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from protean.message import NewMessage


@dataclass(frozen=True, slots=True)
class Publication:
    """One event that a broker has not got yet, joined with the log's row. `data` and `metadata` are JSON texts.

    `stream_name` is its aggregate's history (`customer-<id>`), `attempts` how often the broker has refused it.
    """

    id: int
    message_id: str
    stream_name: str
    category: str
    attempts: int
    position: int
    data: str
    metadata: str


class PublicationBatch(Protocol):
    """Rows claimed; what is done to them becomes durable when the batch's context ends without an error."""

    rows: Sequence[Publication]

    def published(self, ids: Sequence[int]) -> None:
        """Forget rows that the broker has."""
        ...

    def refused(self, row_id: int, error: str, next_attempt_at: datetime) -> None:
        """Count an attempt. Until the next one, nothing of the same aggregate is claimed from this row on."""
        ...


@dataclass(frozen=True, slots=True)
class PublicationCount:
    """What one broker has not got of one category. `refused`: rows that it did not take, `last_error` why."""

    broker: str
    category: str
    rows: int
    oldest: datetime
    refused: int
    last_error: str | None


class Publishing(Protocol):
    """As seen by one transaction."""

    def add(self, messages: Sequence[NewMessage], brokers: Sequence[str]) -> None:
        """Write down that each of these brokers is to get each message, in the given order.

        The messages are in the log of the same transaction, whose caller holds what serialises writers of a stream:
        so what belongs to one aggregate has numbers in its order.
        """
        ...


class Publications(Protocol):
    """As seen by relays and by people. A row is what is not published yet; nothing is kept of what is."""

    def waiting(self, broker: str) -> bool:
        """Whether a row is to be published now: one statement, no transaction, cheap enough to ask for ever."""
        ...

    def claim(self, broker: str, limit: int) -> AbstractContextManager[PublicationBatch | None]:
        """Up to `limit` rows, the oldest first, or None if another relay has that broker.

        Whatever their priority: one order for all, which is each aggregate's. Behind a refused row that waits for its
        next attempt, nothing of its aggregate comes. Leaving the context commits, an error rolls back.
        """
        ...

    def count(self) -> list[PublicationCount]:
        """What is not published yet, by broker and category."""
        ...

    def forget(self, broker: str, limit: int) -> int:
        """Delete at most `limit` rows for a broker that will never get them; how many."""
        ...
