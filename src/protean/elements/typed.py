"""What type checkers know about declared classes that name `Aggregate`, `Command`, … as their base.

mypy does not follow decorators that are methods of an instance (`@domain.aggregate`), but it follows bases.
"""

from __future__ import annotations

from typing import Any, ClassVar, dataclass_transform

from protean.elements.element import ElementInfo
from protean.elements.plain import as_dict
from protean.fields import (
    Auto,
    Boolean,
    Date,
    DateTime,
    Decimal,
    Dict,
    Float,
    Identifier,
    Integer,
    List,
    Method,
    Nested,
    Status,
    String,
    Text,
    ValueObject,
)


class Described:
    """What all declared classes have."""

    __protean__: ClassVar[ElementInfo]

    def to_dict(self) -> dict[str, Any]:
        """Its fields by name, with what it computes and the entities it has.

        Entities and value objects are dicts, enums their values, lists and dicts copies; everything else is as it is.
        """
        return as_dict(self)


@dataclass_transform(
    kw_only_default=True,
    field_specifiers=(
        Auto,
        Boolean,
        Date,
        DateTime,
        Decimal,
        Dict,
        Float,
        Identifier,
        Integer,
        List,
        Method,
        Nested,
        Status,
        String,
        Text,
        ValueObject,
    ),
)
class Changing(Described):
    """Constructed by keyword, then changed field by field."""


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(
        Auto,
        Boolean,
        Date,
        DateTime,
        Decimal,
        Dict,
        Float,
        Identifier,
        Integer,
        List,
        Method,
        Nested,
        Status,
        String,
        Text,
        ValueObject,
    ),
)
class Unchanging(Described):
    """Constructed by keyword, then as it is."""

    __version__: ClassVar[int] = 1
