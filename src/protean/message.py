"""What the log stores and the lanes carry: one event or one asynchronous command.

A `NewMessage` is on its way into the log and has no place there yet. A `Message` has been read back,
from the log or from a lane, and knows its position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class MessageKind(StrEnum):
    EVENT = "event"
    COMMAND = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message about to be written. `data` and `metadata` are JSON texts, encoded once, here.

    `stream_name` is the one history this message belongs to (`customer-<id>`), `category` the kind of
    history (`customer`). Both orders are kept: of the messages in one commit, and within each stream.
    """

    id: str
    type: str
    version: int
    kind: MessageKind
    stream_name: str
    category: str
    priority: int
    time: datetime
    data: str
    metadata: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as read back.

    `position` counts within `stream_name` from 0 without gaps; `global_position` grows over the whole
    log, in the order of writing, not of commit. `data` is JSON-shaped: str, int, float, bool, None,
    list, dict. `headers` are the remaining metadata (tenant and other enrichments).
    """

    id: str
    type: str
    version: int
    kind: MessageKind
    stream_name: str
    category: str
    position: int
    global_position: int
    priority: int
    time: datetime
    data: Mapping[str, Any]
    correlation_id: str | None = None
    causation_id: str | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
