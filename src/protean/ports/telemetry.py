"""Where the application's own tracing is told of commands, publishing and handlers, if it has any.

Unlike `ports/signals.py`, which is what the framework says of itself, this goes into traces that the application
has begun, and goes on in those of whoever handles its messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from protean.message import Message
from protean.ports.outbox import OutboxRow


class Telemetry(Protocol):
    def processing(self, domain: str, command: str) -> AbstractContextManager[object]:
        """Around the processing of a command of that type."""
        ...

    def carried(self, headers: Mapping[str, Any]) -> Mapping[str, Any]:
        """The headers of a message about to be written, with what its handlers go on from; a copy, if it is changed."""
        ...

    def published(self, rows: Sequence[tuple[OutboxRow, str]], began: int) -> None:
        """These rows are on their streams; their publishing began at that moment, in ns since the epoch."""
        ...

    def handling(self, handler: str, message: Message) -> AbstractContextManager[object]:
        """Around one call of a handler, which is what the message's trace goes on with."""
        ...


class Untraced:
    """The application has no tracing."""

    def processing(self, domain: str, command: str) -> AbstractContextManager[object]:  # noqa: ARG002  # nobody is told
        return _NOTHING

    def carried(self, headers: Mapping[str, Any]) -> Mapping[str, Any]:
        return headers

    def published(self, rows: Sequence[tuple[OutboxRow, str]], began: int) -> None: ...

    def handling(self, handler: str, message: Message) -> AbstractContextManager[object]:  # noqa: ARG002  # as above
        return _NOTHING


_NOTHING = nullcontext()
UNTRACED: Telemetry = Untraced()
