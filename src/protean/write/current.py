"""What a handler can ask about the message in its hands."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from protean.exceptions import InvalidOperationError
from protean.write.context import current_cause


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentMessage:
    """The event or command being handled.

    `id` is the same at every attempt, and so the idempotency key for what a handler does elsewhere. `type` and
    `version` are as they were written. `correlation_id` is shared by all that began with one command;
    `causation_id` is the message that caused this one. `time` is when it was written. `headers` are a copy.

    `stream_name`, `position` (within it, from 0), `global_position` and `version` are the log's and None for a command
    that is processed where it is sent.
    """

    id: str
    type: str
    correlation_id: str
    causation_id: str | None
    time: datetime
    headers: Mapping[str, Any]
    version: int | None = None
    stream_name: str | None = None
    position: int | None = None
    global_position: int | None = None


def current_message() -> CurrentMessage:
    """The message being handled here. Raises InvalidOperationError outside of handlers."""
    cause = current_cause()
    if cause is None:
        raise InvalidOperationError("no message is being handled here; `current_message()` is for code inside handlers")
    message = cause.message
    return CurrentMessage(
        id=cause.message_id,
        type=cause.type,
        correlation_id=cause.correlation_id,
        causation_id=cause.causation_id,
        time=cause.time,
        headers=deepcopy(dict(cause.headers)),
        version=message.version if message else None,
        stream_name=message.stream_name if message else None,
        position=message.position if message else None,
        global_position=message.global_position if message else None,
    )
