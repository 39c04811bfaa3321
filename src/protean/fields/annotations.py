"""Plain annotations into field descriptions: `str`, `list[str]`, `float | None`, an Enum, a Literal."""

from __future__ import annotations

import datetime as dt
import decimal
import types
from enum import Enum
from typing import Any, Final, Literal, Union, get_args, get_origin

from protean.exceptions import ConfigurationError
from protean.fields.spec import Embeddable, FieldKind, FieldSpec

#: A plain `str` says nothing about its length, so it has no limit.
_SCALARS: Final[dict[Any, FieldKind]] = {
    str: FieldKind.TEXT,
    int: FieldKind.INTEGER,
    float: FieldKind.FLOAT,
    bool: FieldKind.BOOLEAN,
    decimal.Decimal: FieldKind.DECIMAL,
    dt.date: FieldKind.DATE,
    dt.datetime: FieldKind.DATETIME,
}
_ENUM_KINDS: Final[dict[type, FieldKind]] = {str: FieldKind.STRING, int: FieldKind.INTEGER}


def spec_of_annotation(annotation: Any) -> FieldSpec:
    """What a plain annotation asks for, without a default. Raises ConfigurationError naming the type."""
    inner, optional = _without_none(annotation)
    required = not optional
    if inner in _SCALARS:
        return FieldSpec(kind=_SCALARS[inner], required=required)
    if isinstance(inner, type) and issubclass(inner, Enum):
        return FieldSpec(kind=kind_of_values(inner, [m.value for m in inner]), required=required, enum=inner)
    if isinstance(inner, type) and issubclass(inner, Embeddable):
        return FieldSpec(kind=FieldKind.VALUE, required=required, value=inner)
    origin, arguments = get_origin(inner) or inner, get_args(inner)
    if origin is Literal:
        return FieldSpec(kind=kind_of_values(inner, arguments), required=required, choices=arguments)
    if origin is list:
        return FieldSpec(kind=FieldKind.LIST, required=required, content=_content(*arguments))
    if origin is dict and arguments[:1] in ((), (str,)):
        return FieldSpec(kind=FieldKind.DICT, required=required, content=_content(*arguments[1:]))
    if (declared := getattr(inner, "__protean__", None)) is not None:
        name = inner.__name__
        raise ConfigurationError(
            f"{name} is an element of kind {declared.kind}, and no value; in an aggregate or entity say "
            f"HasMany({name}) or HasOne({name}) if it is an entity, Reference({name}) if it is an aggregate; what is "
            "sent or read holds values: say what of it is told, with fields or a value object"
        )
    raise ConfigurationError(
        f"{annotation!r} cannot be stored; use str, int, float, bool, Decimal, date, datetime, an Enum, a "
        "Literal, a value object, list[...], dict[str, ...], one of these `| None`, or a function of "
        "protean.fields (for a UUID: Identifier)"
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    parts = [part for part in get_args(annotation) if part is not types.NoneType]
    return (parts[0], True) if len(parts) == 1 else (annotation, False)


def _content(annotation: Any = Any) -> FieldSpec | None:
    return None if annotation is Any else spec_of_annotation(annotation)


def kind_of_values(annotation: Any, values: Any) -> FieldKind:
    """What holds these values of an Enum or a Literal. Raises ConfigurationError when they are of several kinds."""
    for type_, kind in _ENUM_KINDS.items():
        if values and all(isinstance(value, type_) for value in values):
            return kind
    raise ConfigurationError(f"{annotation!r} must consist of texts only or of integers only")
