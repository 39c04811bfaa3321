"""What a message is like when it was written here, compiled: checked and made, or written, in one call."""

from __future__ import annotations

from pydantic_core import SchemaSerializer, SchemaValidator, core_schema

from protean.message import Message, MessageKind
from protean.priority import Priority

#: Longest name of a stream, in bytes. It is the key of indexes, whose rows hold 2,704; the rest is for the handler's.
MAX_STREAM_NAME = 2_000


def _reading() -> SchemaValidator:
    """From a dict of a message's parts to the message.

    A little narrower than what is let in: what it refuses is for others to look at, piece by piece. `time`, `data` and
    `headers` are taken as they are.
    """
    text = core_schema.str_schema(strict=True, pattern=r"^[^\x00]+$")
    count = core_schema.int_schema(strict=True, ge=0, lt=2**63)
    parts: dict[str, core_schema.CoreSchema] = {
        "id": core_schema.str_schema(strict=True, pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
        "type": text,
        "version": core_schema.int_schema(strict=True, ge=1, lt=2**63),
        "kind": core_schema.enum_schema(MessageKind, list(MessageKind)),
        # Counted in characters here, which have four bytes at most.
        "stream_name": core_schema.str_schema(strict=True, pattern=r"^[^\x00]+$", max_length=MAX_STREAM_NAME // 4),
        "category": text,
        "position": count,
        "global_position": count,
        "priority": core_schema.int_schema(strict=True, ge=int(Priority.BULK), le=int(Priority.CRITICAL)),
        "time": core_schema.any_schema(),
        "data": core_schema.any_schema(),
        "correlation_id": core_schema.nullable_schema(text),
        "causation_id": core_schema.nullable_schema(text),
        "headers": core_schema.any_schema(),
    }
    fields = [core_schema.dataclass_field(name, schema) for name, schema in parts.items()]
    arguments = core_schema.dataclass_args_schema(Message.__name__, fields)
    return SchemaValidator(core_schema.dataclass_schema(Message, arguments, list(parts), slots=True))


def _writing() -> SchemaSerializer:
    """From a dict of a new message's metadata, headers among them, to JSON."""
    text, number = core_schema.str_schema(), core_schema.int_schema()
    parts: dict[str, core_schema.CoreSchema] = {
        "id": text,
        "type": text,
        "version": number,
        "kind": text,
        "stream_name": text,
        "category": text,
        "priority": number,
        "time": core_schema.datetime_schema(),
        "correlation_id": core_schema.nullable_schema(text),
        "causation_id": core_schema.nullable_schema(text),
    }
    fields = {name: core_schema.typed_dict_field(schema) for name, schema in parts.items()}
    # What is no number in JSON is written as it is, for a reader to refuse: null would be another value.
    exact = core_schema.CoreConfig(ser_json_inf_nan="constants")
    return SchemaSerializer(core_schema.typed_dict_schema(fields, extra_behavior="allow"), exact)


#: `validate_python` takes a dict, and raises a ValueError for what it does not know.
MESSAGE = _reading()
#: `to_json` takes a dict.
METADATA = _writing()
