"""How far each handler has come, what it has seen, and what it owes: kept where its effects are kept.

All of it is read and written inside the handler's own transaction; that is what makes an effect happen once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Position:
    """Where a sequenced handler stands in one stream.

    `position` is the last one applied, -1 before the first. `blocked`: a message of this stream has failed
    and waits for its retry or for a person; nothing later may be applied before it.
    """

    position: int
    blocked: bool


class Positions(Protocol):
    def lock(self, handler: str, stream_names: Collection[str]) -> dict[str, Position]:
        """Lock the rows, in sorted order, until the transaction ends, and say what they hold then.

        Waits for whoever holds one, and reads what they left: never a compare-and-set, which does not
        wait. Rows that are missing are made, at -1.
        """
        ...

    def move(self, handler: str, positions: Mapping[str, int]) -> None:
        """Set the positions of locked rows."""
        ...

    def block(self, handler: str, stream_name: str, blocked: bool) -> None:
        """Set or lift the block on a locked row."""
        ...


class Inbox(Protocol):
    """Which messages a handler without an order of its own has handled."""

    def record(self, handler: str, message_ids: Sequence[str]) -> set[str]:
        """Note the messages as handled; the ids among them that were not noted before.

        Waits for another transaction that is noting the same, so that one of the two learns the truth.
        """
        ...

    def prune(self, handled_before: datetime, limit: int) -> int:
        """Forget at most `limit` rows older than that; how many it were."""
        ...


class FailureState(StrEnum):
    WAITING = "waiting"  # will be retried when due
    DEAD = "dead"  # gave up; a person decides
    ARCHIVED = "archived"  # a person discarded it


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A message that a handler could not handle, and when it is tried again.

    `stream_name` is its history (`customer-<id>`), `stream` the lane's stream it came on
    (`customer:backfill`), `lane` that lane's name. `raw` keeps the bytes of a message nobody could decode.
    """

    handler: str
    message_id: str
    stream_name: str
    stream: str
    lane: str
    attempts: int
    due_at: datetime
    state: FailureState
    message_type: str
    error_type: str
    error: str
    traceback: str
    first_failed_at: datetime
    last_failed_at: datetime
    original_id: str
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class FailureFilter:
    """Which failures; None leaves a side open."""

    handlers: tuple[str, ...] | None = None
    lane: str | None = None
    state: FailureState | None = None
    stream: str | None = None
    stream_name: str | None = None
    message_id: str | None = None


class Failures(Protocol):
    """The durable retry schedule and the dead letters."""

    def save(self, failure: Failure) -> None:
        """Insert it, or replace the row of the same handler and message."""
        ...

    def claim(self, which: FailureFilter, limit: int, lease_seconds: float) -> list[Failure]:
        """Waiting failures that are due, oldest due first, skipping rows another transaction holds.

        Each gets one more attempt counted and its due time moved `lease_seconds` ahead, both durable with
        this transaction's commit, before the handler runs: a crash in the handler is an attempt too.
        """
        ...

    def find(self, which: FailureFilter, limit: int, offset: int = 0) -> list[Failure]:
        """Failures by last failure, newest first."""
        ...

    def count(self, which: FailureFilter) -> int:
        """How many match."""
        ...

    def remove(self, handler: str, message_id: str) -> bool:
        """Delete one; whether it was there."""
        ...

    def release(self, which: FailureFilter) -> int:
        """Make dead ones wait again, due at once and with no attempts counted; how many."""
        ...
