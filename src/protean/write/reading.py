"""From a message to the event or command it is to today's code: whoever reads one, reads it here."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from protean.elements.payload import PayloadElement, decode
from protean.elements.registry import Registry
from protean.elements.upcaster import Step
from protean.exceptions import DeserializationError, UnknownTypeError, UpcastError
from protean.message import Message


def payload_of(registry: Registry, message: Message) -> PayloadElement:
    """The event or command of a message, brought up to the version that the running code knows.

    Raises UnknownTypeError for a type or version that it does not know (yet), UpcastError when an upcaster fails,
    DeserializationError when what comes out does not fit the class.
    """
    cls = registry.message_type(message.type)
    known = cls.__protean__.version
    if message.version == known:
        return decode(cls, message.data)
    if message.version > known:
        raise UnknownTypeError(
            f"{message.type} has version {message.version}, this process knows {known}: it waits for a newer one"
        )
    chain, version, data, taken = registry.chain(cls), message.version, deepcopy(dict(message.data)), []
    while version < known:
        step = chain[version]
        data, version = _taken(step, data, message), step.to_version
        taken.append(str(step))
    try:
        return decode(cls, data)
    except DeserializationError as error:
        through = ", ".join(taken)
        raise DeserializationError(
            f"{error}; message {message.id} was written as version {message.version} and read through {through}"
        ) from None


def _taken(step: Step, data: dict[str, Any], message: Message) -> dict[str, Any]:
    """What one upcaster makes of the data.

    Errors show where it failed and no value: neither its words nor its result, which are the payload's.
    """
    try:
        result: object = step.upcaster().upcast(data)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is raised again in other words
        raise UpcastError(
            f"the upcaster {step} of {message.type} raised {type(error).__name__} for message {message.id}, "
            f"written as version {message.version}"
        ).with_traceback(error.__traceback__) from None
    if not isinstance(result, dict):
        raise UpcastError(
            f"the upcaster {step} of {message.type} returned {type(result).__name__} instead of a dict for message "
            f"{message.id}, written as version {message.version}; return the data of version {step.to_version}"
        )
    return result
