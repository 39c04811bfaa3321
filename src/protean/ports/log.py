"""The log of every event and asynchronous command: appended to, read, never changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from protean.message import Message, NewMessage


class Log(Protocol):
    """The log as seen by one transaction."""

    def append(self, messages: Sequence[NewMessage], broker: str | None) -> None:
        """Write the messages and, with a `broker`, one pending outbox row each for it, in the given order.

        Positions are allocated here: contiguous per stream, continuing from the stream's last. The caller
        holds what serialises writers of a stream (its aggregate's row), so no two allocate the same.
        """
        ...

    def read(self, stream_name: str, after: int, limit: int) -> list[Message]:
        """Up to `limit` messages of one stream with a position above `after`, in order."""
        ...

    def head(self, stream_name: str) -> int:
        """The last position in the stream; -1 if it is empty."""
        ...

    def find(self, message_ids: Collection[str]) -> list[Message]:
        """The messages with those ids that exist, by global position."""
        ...
