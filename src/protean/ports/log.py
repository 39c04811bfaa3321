"""The log of every event and asynchronous command: appended to, read, never changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from protean.message import Message, NewMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which messages are looked for: those that everything given here is true of.

    `after` and `upto` are global positions, the first exclusive. `since` and `until` are moments, the second
    exclusive.
    """

    after: int = 0
    upto: int | None = None
    categories: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None
    correlation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Log(Protocol):
    """The log as seen by one transaction."""

    def append(
        self, messages: Sequence[NewMessage], broker: str | None, expected: Mapping[str, int] | None = None
    ) -> None:
        """Write the messages and, with a `broker`, one pending outbox row each for it, in the given order.

        Positions are allocated here: contiguous per stream, continuing from the stream's last. The caller
        holds what serialises writers of a stream (its aggregate's row), so no two allocate the same.

        Of the streams in `expected`, nobody holds anything: they continue from the position given there (-1: they
        begin), and ExpectedVersionError, which names the stream, is raised when somebody else has continued them.
        """
        ...

    def read(self, stream_name: str, after: int, limit: int) -> list[Message]:
        """Up to `limit` messages of one stream with a position above `after`, in order."""
        ...

    def head(self, stream_name: str) -> int:
        """The last position in the stream; -1 if it is empty."""
        ...

    def behind(self, message_ids: Collection[str]) -> Mapping[str, int]:
        """How many later messages there are in the stream of each of these that exists, by its id."""
        ...

    def search(self, which: LogFilter, limit: int) -> list[Message]:
        """Up to `limit` messages of all streams, by global position.

        That is the order of writing, not of commit: one that is still being written may appear below others.
        """
        ...

    def streams(self, category: str, after: str, limit: int) -> list[str]:
        """Up to `limit` names of streams of a category, each behind `after` in the order of the database."""
        ...

    def find(self, message_ids: Collection[str]) -> list[Message]:
        """The messages with those ids that exist, by global position."""
        ...
