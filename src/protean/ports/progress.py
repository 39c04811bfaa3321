"""How far each handler has come, what it has seen, and what it owes: kept where its effects are kept.

All of it is read and written inside the handler's own transaction; that is what makes an effect happen once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from protean.message import Message


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

    def record(self, handler: str, messages: Sequence[Message], *, failed_before: bool = False) -> set[str]:
        """Note the messages as handled; the ids among them that were not known as handled.

        Known is what was noted before, and what lies below the handler's floor (see `protean.ports.recovery`), whose
        notes are pruned. `failed_before`: a failure of theirs is tried again; a floor passes failures, and says
        nothing about them. Waits for another transaction that is noting the same, so that one of the two learns
        the truth.
        """
        ...

    def handled(self, handler: str, message: Message) -> bool:
        """Whether the message is known as handled, to those who only want to know: nothing is noted or waited for."""
        ...

    def forget(self, handler: str, below: int, limit: int) -> int:
        """Delete at most `limit` notes of messages at places below that; how many it were.

        For handlers without a floor, of foreign streams: nobody can bring what its owner has removed there.
        """
        ...


class FailureState(StrEnum):
    WAITING = "waiting"  # the engine takes it when it is due
    DEAD = "dead"  # gave up; a person decides
    ARCHIVED = "archived"  # a person discarded it, and that is done


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A message that a handler could not handle, and when it is tried again.

    `stream_name` is its history (`customer-<id>`), `stream` the lane's stream it came on
    (`customer:backfill`), `lane` that lane's name. `raw` keeps the bytes of a message nobody could decode.
    `due_at` of an archived one is when it was archived. `discarded_by` and `discard_reason` are set when a
    person decided that the handler shall never see it; while it still waits, the engine has yet to go past it.
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
    discarded_by: str | None = None
    discard_reason: str | None = None

    @property
    def key(self) -> FailureKey:
        return FailureKey(self.last_failed_at, self.handler, self.message_id)


class FailureKey(NamedTuple):
    """A failure's place among all, newest first: the larger key comes first."""

    last_failed_at: datetime
    handler: str
    message_id: str


@dataclass(frozen=True, slots=True)
class FailureTally:
    """How many failures share handler, stream, state and error, and when the first and the last of them was."""

    handler: str
    stream: str
    state: FailureState
    error_type: str
    error: str
    count: int
    first_failed_at: datetime
    last_failed_at: datetime


@dataclass(frozen=True, slots=True)
class FailureFilter:
    """Which failures; None leaves a side open.

    `message_prefix` is how an id begins. `failed_before` compares the last failure, `due_before` when it is due,
    or was archived.
    """

    handlers: tuple[str, ...] | None = None
    lane: str | None = None
    state: FailureState | None = None
    stream: str | None = None
    stream_name: str | None = None
    message_id: str | None = None
    message_ids: tuple[str, ...] | None = None
    message_prefix: str | None = None
    error_type: str | None = None
    attempts: int | None = None
    failed_before: datetime | None = None
    due_before: datetime | None = None


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

    def give_back(self, claimed: Failure, due_at: datetime) -> bool:
        """Undo the claim of one that was not tried after all: its attempt is not counted; whether it was still ours."""
        ...

    def forgive(self, handler: str, message_ids: Collection[str]) -> int:
        """Uncount one attempt of those that wait and that nobody has locked: it was not their doing; how many."""
        ...

    def find(self, which: FailureFilter, limit: int, after: FailureKey | None = None) -> list[Failure]:
        """Failures by last failure, newest first; those that follow `after`."""
        ...

    def count(self, which: FailureFilter) -> int:
        """How many match."""
        ...

    def tally(self, which: FailureFilter) -> list[FailureTally]:
        """Those that match, counted by what they share, the most frequent first."""
        ...

    def discarded(self, handler: str, message_ids: Sequence[str]) -> set[str]:
        """Those of the messages that this handler shall never see, because a person discarded them."""
        ...

    def remove(self, handler: str, message_id: str) -> bool:
        """Delete one; whether it was there."""
        ...

    def prune(self, which: FailureFilter, limit: int) -> int:
        """Delete at most `limit` that match; how many."""
        ...

    def release(self, which: FailureFilter) -> int:
        """Make dead ones wait again, due at once and with no attempts counted; how many.

        Due is each since it first failed, so that they are tried in the order in which they came.
        """
        ...

    def discard(self, which: FailureFilter, state: FailureState, *, by: str, reason: str) -> int:
        """Give dead ones up, with who decided it and why; how many.

        `state` is ARCHIVED, or WAITING for those that the engine has to go past first.
        """
        ...
