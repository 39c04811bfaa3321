"""The outbox: messages committed with the state that caused them, on their way to a broker."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from protean.ports.broker import Tally


@dataclass(frozen=True, slots=True)
class Claim:
    """Which pending rows a relay takes: one broker's, of one range of priorities.

    `at_least` and `below` bound the priority; None leaves that side open. `name` (the lane) is what
    relays exclude each other by.
    """

    broker: str
    name: str
    at_least: int | None = None
    below: int | None = None


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One pending message, joined with the log's row. `data` and `metadata` are JSON texts.

    `awaited`: a handler of its type is registered and was seen lately, be it of another release than the running code.
    """

    id: int
    message_id: str
    category: str
    priority: int
    attempts: int
    created_at: datetime
    position: int
    global_position: int
    data: str
    metadata: str
    awaited: bool


class OutboxBatch(Protocol):
    """Rows claimed and locked; the marks become durable when the batch's context ends without an error."""

    rows: Sequence[OutboxRow]

    @property
    def tally(self) -> Tally:
        """What the broker must have counted of this lane by now. Read under the lane's lock."""
        ...

    def published(self, ids: Sequence[int], counted: int | None = None) -> None:
        """Mark rows as published, and note the broker's count after it, if something was counted.

        Of BEHIND it is the loss that is noted, with the marks: nobody who dies now can hide it.
        """
        ...

    def refused(self, row_id: int, error: str, next_attempt_at: datetime | None) -> None:
        """Count an attempt of a row the broker refused; with no next attempt the row is given up as failed."""
        ...


@dataclass(frozen=True, slots=True)
class OutboxCount:
    broker: str
    category: str
    priority: int
    status: str
    rows: int
    oldest: datetime


class Outbox(Protocol):
    def waiting(self, claim: Claim) -> bool:
        """Whether a due row is pending: one statement, no transaction, cheap enough to ask for ever."""
        ...

    def claim(self, claim: Claim, limit: int) -> AbstractContextManager[OutboxBatch | None]:
        """Claim up to `limit` due rows, highest priority first, then oldest id; None if another relay is at it.

        One transaction: an advisory lock per (broker, name) in a statement of its own, then the rows, locked,
        skipping locked ones. Leaving the context commits, an error rolls back.
        """
        ...

    def count(self) -> list[OutboxCount]:
        """How many rows per broker, category, priority and status."""
        ...

    def owed(self) -> list[OutboxCount]:
        """The same of what is not published: it takes as long as there is backlog, however much there was before."""
        ...

    def prune(self, published_before: datetime, limit: int) -> int:
        """Delete at most `limit` published rows older than that; how many it were.

        Rows stay that prove what a handler is owed from before its registration, see `protean.ports.recovery`, unless
        no engine has had that handler for `HOLDS_FOR`.
        """
        ...

    def revive(self, limit: int) -> int:
        """Make at most `limit` rows that were given up as failed pending again, as if never tried; how many."""
        ...
