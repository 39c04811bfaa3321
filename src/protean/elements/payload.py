"""What commands and events share: they never change, and travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic

from protean.elements.complaints import complaints
from protean.elements.unchanging import UnchangingElement
from protean.exceptions import DeserializationError


class PayloadElement(UnchangingElement):
    """A command, event or query."""


P = TypeVar("P", bound=PayloadElement)


def encode(payload: PayloadElement) -> str:
    """The contents as JSON text: dates in ISO 8601, decimals as texts, enums by value, value objects as objects."""
    return payload.__pydantic_serializer__.to_json(payload).decode()


def decode(cls: type[P], data: Mapping[str, Any]) -> P:
    """The command or event whose JSON was read as `data`.

    Raises DeserializationError naming every field that does not fit. Fields that the class does not
    declare are refused too: dropping what another version wrote would lose it without a trace.
    """
    try:
        payload: P = cls.__pydantic_validator__.validate_python(dict(data))
    except pydantic.ValidationError as error:
        texts = complaints(error, cls.__name__, cls.__protean__.fields)
        raise DeserializationError(
            f"{cls.__name__} version {cls.__protean__.version} cannot be read: "
            + "; ".join(f"`{field}` {', '.join(problems)}" for field, problems in texts.items())
        ) from None
    return payload
