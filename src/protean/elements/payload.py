"""What commands and events share: they never change, and travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import pydantic

from protean.elements.complaints import complaints
from protean.elements.element import Element
from protean.exceptions import DeserializationError, InvalidOperationError, ValidationError


class PayloadElement(Element):
    """A command or event. Equal to another by its contents; hashable when all of them are."""

    model_config = pydantic.ConfigDict(frozen=True)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise InvalidOperationError(
            f"{type(self).__name__}.{name} cannot be set to {value!r:.50}: a {self.__protean__.kind} never "
            "changes; make another"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise InvalidOperationError(
            f"{type(self).__name__}.{name} cannot be deleted: a {self.__protean__.kind} never changes"
        )


P = TypeVar("P", bound=PayloadElement)


def encode(payload: PayloadElement) -> str:
    """The contents as JSON text: dates in ISO 8601, decimals as texts, enums by value.

    Raises ValidationError when a list or dict was changed in place to something its field refuses: JSON has no NaN,
    and writing null for it would lose it without a word.
    """
    info, values = payload.__protean__, payload.__dict__
    for name, _, dump in info.columns.dumps:
        if values[name] is not None:
            try:
                dump(values[name])
            except pydantic.ValidationError as error:
                raise ValidationError(complaints(error, info.name, info.fields, within=name)) from None
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
