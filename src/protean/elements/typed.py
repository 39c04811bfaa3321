"""What type checkers know about declared classes that name `Aggregate`, `Command`, … as their base.

mypy does not follow decorators that are methods of an instance (`@domain.aggregate`), but it follows bases.
Neither class does anything at run time.
"""

from __future__ import annotations

from typing import ClassVar, dataclass_transform

from protean.elements.element import ElementInfo
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
    String,
    Text,
)


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
        String,
        Text,
    ),
)
class Changing:
    """Constructed by keyword, then changed field by field."""

    __protean__: ClassVar[ElementInfo]


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
        String,
        Text,
    ),
)
class Unchanging:
    """Constructed by keyword, then as it is."""

    __protean__: ClassVar[ElementInfo]
    __version__: ClassVar[int] = 1
