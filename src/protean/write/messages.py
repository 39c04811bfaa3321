"""Events and commands to messages: identity, cause, correlation, priority, encoded once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from protean import codec
from protean.clock import utc_now
from protean.elements.aggregate import AggregateElement
from protean.elements.element import identity_of
from protean.elements.payload import PayloadElement, encode
from protean.envelope_schema import MAX_STREAM_NAME
from protean.exceptions import ValidationError
from protean.identities import new_identity
from protean.message import Message, MessageKind, NewMessage
from protean.ports.timeouts import Timeout
from protean.priority import current_priority
from protean.write.context import ActiveDomain, Cause, current_cause, current_correlation_id
from protean.write.headers import headers_of

#: Longest payload of a message, in characters: well below what readers refuse.
MAX_DATA = codec.MAX_BYTES // 8


def new_cause(domain: ActiveDomain, command: PayloadElement, correlation_id: str | None) -> Cause:
    """A command about to be processed, as the cause of what it will do."""
    outer = current_cause()
    message_id = new_identity()
    return Cause(
        message_id,
        correlation_id or current_correlation_id() or message_id,
        headers_of(domain, MessageKind.COMMAND, command, outer.headers if outer else {}),
        origin_id=outer.origin if outer else None,
        causation_id=outer.message_id if outer else None,
        type=command.__protean__.name,
    )


def cause_of(message: Message) -> Cause:
    """A message from the log about to be handled, as the cause of what its handler will do."""
    return Cause(
        message.id,
        message.correlation_id or message.id,
        message.headers,
        causation_id=message.causation_id,
        type=message.type,
        time=message.time,
        message=message,
    )


def event_message(domain: ActiveDomain, aggregate: AggregateElement, event: PayloadElement) -> NewMessage:
    """The message of an event that `aggregate` has raised, or of the fact of its state."""
    category = event.__protean__.stream_category or aggregate.__protean__.stream_category
    cause, message_id = current_cause(), new_identity()
    stream_name = f"{category}-{identity_of(aggregate)}"
    if len(stream_name) * 4 > MAX_STREAM_NAME and len(stream_name.encode()) > MAX_STREAM_NAME:
        identity = aggregate.__protean__.identity or "id"
        raise ValidationError({identity: [f"is too long to name a stream by: {MAX_STREAM_NAME} bytes at most"]})
    return _message(
        event,
        MessageKind.EVENT,
        message_id,
        category=category,
        stream_name=stream_name,
        priority=current_priority(),
        correlation_id=current_correlation_id() or message_id,
        causation_id=cause.origin if cause else None,
        headers=headers_of(domain, MessageKind.EVENT, event, cause.headers if cause else {}, aggregate),
    )


def command_message(category: str, command: PayloadElement, cause: Cause, priority: int) -> NewMessage:
    """The message of a command that is carried out later; `cause` is the command as the cause of what it will do."""
    outer = current_cause()
    return _message(
        command,
        MessageKind.COMMAND,
        cause.message_id,
        category=category,
        stream_name=f"{category}-{cause.message_id}",
        priority=priority,
        correlation_id=cause.correlation_id,
        causation_id=outer.origin if outer else None,
        headers=cause.headers,
    )


def timeout_message(told_by: type[PayloadElement], timeout: Timeout, category: str, stream_name: str) -> NewMessage:
    """What tells a process that its timeout is due, caused by the message during which it was set."""
    contents: dict[str, Any] = {"key": timeout.key, "name": timeout.name, "due_at": timeout.due_at}
    return _message(
        told_by(**contents),
        MessageKind.EVENT,
        new_identity(),
        category=category,
        stream_name=stream_name,
        priority=timeout.priority,
        correlation_id=timeout.correlation_id,
        causation_id=timeout.causation_id,
        headers=timeout.headers,
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
