"""Entries of streams that somebody else writes, handed to subscribers: any envelope, each entry once by its id.

A CloudEvent is the same one in whichever entry it comes: its writer may have published it twice.

Nothing of them is in the log, so a failure keeps the bytes; what is retried and replayed is read from there.
"""

from __future__ import annotations

from uuid import UUID, uuid5

from pydantic_core import from_json

from protean import cloudevents, codec
from protean.clock import utc_now
from protean.exceptions import DeserializationError
from protean.handle.executor import Executor
from protean.message import Message, MessageKind
from protean.ports.handling import Delivery
from protean.ports.progress import Failure
from protean.priority import Priority

#: What ids of foreign entries are made in. Any UUID does that never changes: the same entry has the same id everywhere.
_NAMESPACE = UUID("0f4f7e52-7b1c-5c7e-9a53-6d0a6f1e5a21")


def entry_message_id(stream: str, entry_id: str) -> str:
    """The id of a foreign entry as a message: what the inbox knows it by, and outside effects may too."""
    return str(uuid5(_NAMESPACE, f"{stream} {entry_id}"))


def cloud_event_id(identity: str) -> str:
    """The same of a CloudEvent, by its source and id: the copies of one event are one message."""
    return str(uuid5(_NAMESPACE, f"cloudevent {identity}"))


def entry_place(entry_id: str) -> int:
    """An entry's place in its stream, in milliseconds: ids begin with it. Entries of one moment share theirs."""
    return int(entry_id.partition("-")[0])


def foreign_message(stream: str, entry_id: str, payload: bytes) -> Message:
    """A foreign entry as a message that is in no log. Raises DeserializationError unless it is a JSON object."""
    if len(payload) > codec.MAX_BYTES:
        raise DeserializationError(f"the entry has {len(payload)} bytes, more than {codec.MAX_BYTES}")
    try:
        data = from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        raise DeserializationError(f"the entry is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise DeserializationError(f"the entry is a JSON {type(data).__name__}, and a subscriber takes objects")
    event = cloudevents.identity(data)
    return Message(
        id=entry_message_id(stream, entry_id) if event is None else cloud_event_id(event),
        type=stream,
        version=1,
        kind=MessageKind.EVENT,
        stream_name=stream,
        category=stream,
        position=0,
        global_position=entry_place(entry_id),
        priority=Priority.NORMAL,
        time=utc_now(),
        data=data,
        correlation_id=cloudevents.correlation(data),
    )


class ForeignExecutor(Executor):
    """Runs one subscriber."""

    def _decoded(self, delivery: Delivery) -> Message:
        return foreign_message(delivery.stream, delivery.entry_id, delivery.payload or b"")

    def _again(self, failure: Failure) -> Message:
        return foreign_message(failure.stream, failure.original_id, failure.raw or b"")
