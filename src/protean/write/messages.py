"""Events and commands to messages: identity, cause, correlation, priority, encoded once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from protean import codec
from protean.clock import utc_now
from protean.elements.aggregate import AggregateElement
from protean.elements.element import identity_of
from protean.elements.payload import PayloadElement, encode
from protean.exceptions import ValidationError
from protean.message import MessageKind, NewMessage
from protean.priority import current_priority
from protean.write.context import Cause, current_cause

#: Longest payload of a message, in characters: well below what readers refuse.
MAX_DATA = codec.MAX_BYTES // 8


def new_cause(correlation_id: str | None) -> Cause:
    """A command about to be processed, as the cause of what it will do."""
    outer = current_cause()
    message_id = str(uuid4())
    if outer is None:
        return Cause(message_id, correlation_id or message_id)
    return Cause(message_id, correlation_id or outer.correlation_id, outer.headers)


def event_message(aggregate: AggregateElement, event: PayloadElement) -> NewMessage:
    """The message of an event that `aggregate` has raised."""
    category = aggregate.__protean__.stream_category
    cause, message_id = current_cause(), str(uuid4())
    stream_name = f"{category}-{identity_of(aggregate)}"
    if len(stream_name) * 4 > codec.MAX_STREAM_NAME and len(stream_name.encode()) > codec.MAX_STREAM_NAME:
        identity = aggregate.__protean__.identity or "id"
        raise ValidationError({identity: [f"is too long to name a stream by: {codec.MAX_STREAM_NAME} bytes at most"]})
    return _message(
        event,
        MessageKind.EVENT,
        message_id,
        category=category,
        stream_name=stream_name,
        priority=current_priority(),
        correlation_id=cause.correlation_id if cause else message_id,
        causation_id=cause.message_id if cause else None,
        headers=cause.headers if cause else {},
    )


def _message(
    payload: PayloadElement,
    kind: MessageKind,
    message_id: str,
    *,
    category: str,
    stream_name: str,
    priority: int,
    correlation_id: str,
    causation_id: str | None,
    headers: Mapping[str, Any],
) -> NewMessage:
    described = payload.__protean__
    time, data = utc_now(), encode(payload)
    if len(data) > MAX_DATA:
        too_long = f"makes most of {described.name}, which has {len(data)} characters, more than {MAX_DATA}"
        raise ValidationError({_longest(data): [too_long]})
    return NewMessage(
        id=message_id,
        type=described.name,
        version=described.version,
        kind=kind,
        stream_name=stream_name,
        category=category,
        priority=priority,
        time=time,
        data=data,
        metadata=codec.metadata_json(
            message_id=message_id,
            message_type=described.name,
            version=described.version,
            kind=kind,
            stream_name=stream_name,
            category=category,
            priority=priority,
            time=time,
            correlation_id=correlation_id,
            causation_id=causation_id,
            headers=headers,
        ),
    )


def _longest(data: str) -> str:
    """The field that takes most of a payload's JSON."""
    fields: dict[str, Any] = json.loads(data)
    return max(fields, key=lambda name: len(json.dumps(fields[name])))
