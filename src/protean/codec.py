"""Messages to bytes and back: the one place that knows the envelope.

On a stream an entry's field `data` holds `{"data": {...}, "metadata": {...}}`. The log keeps the same two
objects in two columns; what only the log can know, the positions, is added to the metadata on the way out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json

from protean.envelope_schema import MAX_STREAM_NAME, MESSAGE, METADATA
from protean.exceptions import DeserializationError
from protean.message import Message, MessageKind
from protean.priority import checked

#: Largest envelope that is accepted from anybody, in bytes.
MAX_BYTES = 8 * 1024 * 1024

#: What the metadata of every message consists of; everything else in it is a header.
KNOWN = frozenset(
    {
        "id",
        "type",
        "version",
        "kind",
        "stream_name",
        "category",
        "priority",
        "time",
        "correlation_id",
        "causation_id",
        "position",
        "global_position",
    }
)


def metadata_json(
    *,
    message_id: str,
    message_type: str,
    version: int,
    kind: MessageKind,
    stream_name: str,
    category: str,
    priority: int,
    time: datetime,
    correlation_id: str | None,
    causation_id: str | None,
    headers: Mapping[str, Any],
) -> str:
    """The metadata of a new message as JSON text, without positions."""
    return METADATA.to_json(
        {
            "id": message_id,
            "type": message_type,
            "version": version,
            "kind": kind,
            "stream_name": stream_name,
            "category": category,
            "priority": priority,
            "time": time,
            "correlation_id": correlation_id,
            "causation_id": causation_id,
            **headers,
        }
    ).decode()


def envelope(data: str, metadata: str, position: int, global_position: int) -> bytes:
    """The bytes a stream carries, made of the log's two JSON texts without parsing them."""
    return (
        f'{{"data":{data},"metadata":{metadata[:-1]},"position":{position},"global_position":{global_position}}}}}'
    ).encode()


def encode(message: Message) -> bytes:
    """The envelope of a message read from the log."""
    metadata = {
        "id": message.id,
        "type": message.type,
        "version": message.version,
        "kind": message.kind,
        "stream_name": message.stream_name,
        "category": message.category,
        "priority": message.priority,
        "time": message.time,
        "correlation_id": message.correlation_id,
        "causation_id": message.causation_id,
        **message.headers,
        "position": message.position,
        "global_position": message.global_position,
    }
    return to_json({"data": message.data, "metadata": metadata})


def decode(payload: bytes) -> Message:
    """Read an envelope. Raises DeserializationError saying what is wrong with it; never anything else."""
    if len(payload) > MAX_BYTES:
        raise DeserializationError(f"the envelope has {len(payload)} bytes, more than {MAX_BYTES}")
    try:
        parsed = from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        raise DeserializationError(f"the envelope is not JSON: {error}") from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("metadata"), dict):
        raise DeserializationError("the envelope is not an object with `data` and `metadata`")
    metadata = parsed["metadata"]
    return _message(parsed.get("data"), metadata, metadata.get("position"), metadata.get("global_position"))


def message(data: str, metadata: str, position: int, global_position: int) -> Message:
    """Read a row of the log. Raises DeserializationError."""
    try:
        return _message(_read(data), _read(metadata), position, global_position)
    except ValueError as error:
        raise DeserializationError(f"log row {global_position} is not JSON: {error}") from None


def _read(text: str) -> Any:
    """JSON of our own. What a stricter reader refuses was let in once, and history stays readable."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)


def _message(data: Any, metadata: dict[str, Any], position: Any, global_position: Any) -> Message:
    if not isinstance(data, dict):
        raise DeserializationError(f"`data` is {type(data).__name__}, not an object")
    try:
        message: Message = MESSAGE.validate_python(
            {
                **metadata,
                "position": position,
                "global_position": global_position,
                "time": _moment(metadata, "time"),
                "data": data,
                "headers": {} if metadata.keys() <= KNOWN else _headers(metadata),
            }
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return _piece_by_piece(data, metadata, position, global_position)
    return message


def _piece_by_piece(data: Any, metadata: dict[str, Any], position: Any, global_position: Any) -> Message:
    """What looks otherwise than it is written here: it may be right all the same, or is refused saying why."""
    try:
        return Message(
            id=str(UUID(_text(metadata, "id"))),
            type=_text(metadata, "type"),
            version=_whole("version", metadata["version"], least=1),
            kind=MessageKind(metadata["kind"]),
            stream_name=_stream_name(metadata),
            category=_text(metadata, "category"),
            position=_whole("position", position, least=0),
            global_position=_whole("global_position", global_position, least=0),
            priority=checked(_whole("priority", metadata["priority"])),
            time=_moment(metadata, "time"),
            data=data,
            correlation_id=_text_or_none(metadata, "correlation_id"),
            causation_id=_text_or_none(metadata, "causation_id"),
            headers=_headers(metadata),
        )
    except KeyError as error:
        raise DeserializationError(f"the metadata has no {error}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise DeserializationError(f"the envelope does not fit: {error!s:.500}") from None


def _text(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata[key]
    if not isinstance(value, str) or not value or "\x00" in value:
        raise TypeError(f"metadata `{key}` must be a text without NUL, not {value!r:.50}")
    return value


def _text_or_none(metadata: Mapping[str, Any], key: str) -> str | None:
    return None if metadata.get(key) is None else _text(metadata, key)


def _stream_name(metadata: Mapping[str, Any]) -> str:
    name = _text(metadata, "stream_name")
    if (length := len(name.encode())) > MAX_STREAM_NAME:
        raise ValueError(f"metadata `stream_name` has {length} bytes, more than {MAX_STREAM_NAME}")
    return name


def _headers(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The rest. It is written again with what the message causes, so it must be something that can be."""
    headers = {key: value for key, value in metadata.items() if key not in KNOWN}
    if headers and "\\u0000" in json.dumps(headers, allow_nan=False):  # a number like 1e999 is read as infinite
        raise ValueError("metadata contains a NUL character")
    return headers


def _moment(metadata: Mapping[str, Any], key: str) -> datetime:
    moment = datetime.fromisoformat(_text(metadata, key))
    if moment.tzinfo is None:
        raise ValueError(f"metadata `{key}` needs a time zone, {moment} has none")
    return moment.astimezone(UTC)


def _whole(key: str, value: Any, least: int = -(2**63)) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"metadata `{key}` must be a whole number, not {value!r:.50}")
    if not least <= value < 2**63:
        raise ValueError(f"metadata `{key}` must be a number from {least}, of 64 bits")
    return value
