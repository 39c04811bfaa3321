"""What the pipeline says of itself while it works, for those who watch.

Saying it costs an attribute's look-up while nobody wants to know, and an append to a list otherwise: nothing here
waits, sends or formats. Never a payload: identities, names and durations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from protean.message import Message
from protean.ports.handling import Outcome
from protean.ports.outbox import OutboxRow
from protean.ports.progress import Failure


class Signals(Protocol):
    """Where a relay, a subscription and a handler's transaction say what they have done.

    Callers look at `tracing` or `wanted` first, and prepare nothing when it is False.
    """

    @property
    def tracing(self) -> bool:
        """Whether each step is to be told."""
        ...

    @property
    def wanted(self) -> bool:
        """Whether the durations of handlers are to be told: for traces, for history, or for both."""
        ...

    def published(self, rows: Sequence[tuple[OutboxRow, str]]) -> None:
        """These outbox rows are on their streams, and marked."""
        ...

    def refused(self, row: OutboxRow, stream: str, error: str) -> None:
        """The broker does not take this row."""
        ...

    def started(self, handler: str, message: Message) -> None:
        """The handler is about to be called."""
        ...

    def completed(self, handler: str, calls: Sequence[tuple[Message, float]], *, again: bool) -> None:
        """These calls of the handler, and how many seconds each took, are committed.

        `again`: after a failure, of it or of one before it, so that its age says nothing of how fast the lane is.
        """
        ...

    def failed(self, handler: str, message: Message, seconds: float, error: BaseException) -> None:
        """The handler raised `error`, and what it did is undone."""
        ...

    def settled(self, handler: str, stream: str, outcomes: Sequence[Outcome]) -> None:
        """These deliveries are acknowledged: done, to be retried, or dead."""
        ...

    def retried(self, failure: Failure, left: Failure | None) -> None:
        """A failure was tried again; `left` is what it left, None if all is well."""
        ...


class Silence:
    """Nobody watches."""

    tracing = False
    wanted = False

    def published(self, rows: Sequence[tuple[OutboxRow, str]]) -> None: ...
    def refused(self, row: OutboxRow, stream: str, error: str) -> None: ...
    def started(self, handler: str, message: Message) -> None: ...
    def completed(self, handler: str, calls: Sequence[tuple[Message, float]], *, again: bool) -> None: ...
    def failed(self, handler: str, message: Message, seconds: float, error: BaseException) -> None: ...
    def settled(self, handler: str, stream: str, outcomes: Sequence[Outcome]) -> None: ...
    def retried(self, failure: Failure, left: Failure | None) -> None: ...


SILENCE: Signals = Silence()
