"""The JSON of one message: what it is, what became of it, and what it belongs to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from protean.server.observatory.documents import Document


class MessageFacts(Document):
    """Everything but the data. `headers` names those it carries; `lane` and `stream`: by which it travels."""

    id: str
    type: str
    version: int
    kind: str
    time: datetime
    priority: int
    lane: str
    stream: str
    category: str
    stream_name: str
    position: int
    global_position: int
    correlation_id: str | None
    causation_id: str | None
    headers: list[str]
    database: str


class AttemptDocument(Document):
    """A handler that could not handle it, as it stands. `place` names it at `/dlq/…`; `due_at` while it waits."""

    handler: str
    state: str
    attempts: int
    error_type: str
    error: str
    first_failed_at: datetime
    last_failed_at: datetime
    due_at: datetime | None
    place: str


class StepDocument(Document):
    """One thing that happened to it, told while somebody watched."""

    event: str
    at: str
    stream: str | None
    handler: str | None
    worker: str | None
    duration_ms: float | None
    latency_ms: float | None
    error: str | None


class TimingDocument(Document):
    """How long it was where, on its way to its first handler that has ended. Null: nobody has told.

    `latency_ms` is all of it, from the outbox to the end of the handler.
    """

    outbox_ms: float | None
    stream_ms: float | None
    handler_ms: float | None
    latency_ms: float | None


class NodeDocument(Document):
    """A `command`, an `event` or a `handler`, and what it has caused.

    A message that is not in the log, as a command that was handled at once, has an id and no type; a handler has no
    id, and as `state` waiting, dead or archived where it could not handle what caused it.
    """

    kind: str
    id: str | None
    type: str | None
    stream_name: str | None
    at: datetime | None
    state: str | None
    here: bool
    children: list[NodeDocument]


class MessageDocument(Document):
    """`steps` are kept while somebody watches, for a while. `whole`: nothing was left out of the tree for its size."""

    message: MessageFacts
    attempts: list[AttemptDocument]
    steps: list[StepDocument]
    timing: TimingDocument
    tree: NodeDocument
    whole: bool


class RevealedDocument(Document):
    """The data of a message, with `masked` fields in place of values that the configuration keeps to itself."""

    id: str
    type: str
    data: dict[str, Any]
    headers: dict[str, Any]
    masked: list[str]
