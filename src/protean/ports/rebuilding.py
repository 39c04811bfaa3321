"""Filling a projection's table anew from the log, beside the one in use, and putting it in its place.

The new table (the shadow) is filled in many small transactions. How far each projector's events are in it is kept like
any handler's position, under a name of its own (the stand-in). The last transaction brings it up to date, moves the
projectors to where it is, and exchanges the tables, while these projectors wait.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from protean.message import Message
from protean.ports.recovery import Interest
from protean.ports.rows import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """A rebuild that has begun. `token` tells it from others of the same projection: only the last one goes on.

    `cursor`: the global position up to which it has looked through the log. `done` of `total` messages are looked at.
    """

    projection: str
    shadow: str
    token: str
    cursor: int
    done: int
    total: int
    begun_at: datetime
    stepped_at: datetime


@dataclass(frozen=True, slots=True)
class Behind:
    """What a projector has not applied: how many `events` of its types, since when the `oldest` is written, and in
    how many streams a failure holds them up (`blocked`).
    """

    events: int
    oldest: datetime | None
    blocked: int


class Rebuilding(Protocol):
    """What a rebuild asks of one transaction, beside rows and positions."""

    def under_way(self) -> list[UnderWay]:
        """The rebuilds that were begun and not ended, by projection; also those whose process has died."""
        ...

    def begin(self, rebuild: UnderWay) -> None:
        """Write down that it begins, in the place of an earlier one of the same projection."""
        ...

    def hold(self, projection: str, token: str) -> bool:
        """Keep others from taking over until the transaction ends; whether nobody has."""
        ...

    def step(self, rebuild: UnderWay) -> None:
        """Write down how far it has come."""
        ...

    def end(self, projection: str, token: str) -> None:
        """Forget it, unless another one has taken over."""
        ...

    def count(self, categories: Collection[str]) -> int:
        """How many messages the log has in these categories."""
        ...

    def head(self) -> int:
        """The global position of the last message that is visible; 0 of an empty log."""
        ...

    def read(self, categories: Collection[str], after: int, upto: int, limit: int) -> list[Message]:
        """Messages of these categories with a global position above `after` and up to `upto`, in that order."""
        ...

    def incomplete(self, categories: Collection[str], handlers: Collection[str], limit: int) -> list[str]:
        """Up to `limit` streams that lack messages: in the log, or that one of the handlers has applied."""
        ...

    def exclude(self, handlers: Collection[str], seconds: float) -> None:
        """Wait until nobody has a position of these handlers locked, and let nobody lock one before the end.

        Raises TransientDatabaseError after so many seconds, for each of them.
        """
        ...

    def unblocked(self, handler: str, stand_in: str) -> list[str]:
        """Streams in which the handler is blocked, and the stand-in has come further."""
        ...

    def take_over(self, handler: str, stand_in: str) -> int:
        """Move the handler to where its stand-in is, wherever that is further; in how many streams.

        A block is lifted there: what it held up is applied.
        """
        ...

    def forget(self, stand_in: str) -> None:
        """Delete its positions."""
        ...

    def exchange(self, table: Table, shadow: Table, seconds: float) -> None:
        """Drop the table and give its name to the shadow, and to the shadow's indexes those of its own.

        Raises TransientDatabaseError when somebody has used the table for so many seconds in one transaction.
        """
        ...

    def behind(self, interest: Interest) -> Behind:
        """What a sequenced handler has not applied. Looks through all messages of its categories."""
        ...


class Shadows(Protocol):
    """Making and dropping shadows: a transaction each."""

    def make(self, table: Table, shadow: Table) -> None:
        """Make an empty table as `shadow` declares it, with what people have added to `table`: indexes, privileges.

        One of that name is dropped. Raises InvalidOperationError naming what `table` has and the new one would not,
        a trigger for one; TableMissingError when there is no `table`.
        """
        ...

    def drop(self, shadow: Table) -> None:
        """Drop it, if it is there."""
        ...


def unkept(table: str, found: Sequence[str]) -> str:
    """What to say when a table has what an exchange would lose."""
    return (
        f"the table {table} has what a rebuilt one would not: {', '.join(found)}; drop it before, and make it again "
        "afterwards"
    )
