"""One field as plain data: what it holds and what it refuses. Knows neither pydantic nor storage."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final

from protean.exceptions import ConfigurationError


class FieldKind(StrEnum):
    """What a field holds; storage maps each kind to one column type."""

    STRING = "string"
    TEXT = "text"
    IDENTIFIER = "identifier"  # a short text; UUIDs and integers are taken and turned into one
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    LIST = "list"
    DICT = "dict"


class Missing(Enum):
    """The type of `MISSING`, which is no default at all, where None would be one."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

TEXTUAL: Final = frozenset({FieldKind.STRING, FieldKind.TEXT, FieldKind.IDENTIFIER})
NESTED: Final = frozenset({FieldKind.LIST, FieldKind.DICT})

Validator = Callable[[Any], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """A field as declared.

    `required` refuses None (a column: NOT NULL); `default` is a value or a function without arguments.
    `enum`, where given, is the class whose members the field holds; `choices` are plain values.
    `content` describes the items of a list or the values of a dict; without it they are any JSON.
    `column` is where storage keeps it, when that is not the field's own name.
    """

    kind: FieldKind
    required: bool = False
    identifier: bool = False
    default: Any = MISSING
    unique: bool = False
    enum: type[Enum] | None = None
    choices: tuple[Any, ...] = ()
    max_length: int | None = None
    min_length: int | None = None
    min_value: Any = None
    max_value: Any = None
    content: FieldSpec | None = None
    validators: tuple[Validator, ...] = ()
    description: str | None = None
    column: str | None = None

    def __post_init__(self) -> None:
        for problem in self._contradictions():
            raise ConfigurationError(f"{self.kind.value} field: {problem}")

    def _contradictions(self) -> list[str]:
        problems = []
        if self.max_length is not None and self.max_length < 1:
            problems.append(f"max_length must be at least 1, not {self.max_length}")
        if self.min_length is not None and self.max_length is not None and self.min_length > self.max_length:
            problems.append(f"min_length {self.min_length} is more than max_length {self.max_length}")
        if None not in (self.min_value, self.max_value) and self.min_value > self.max_value:
            problems.append(f"min_value {self.min_value} is more than max_value {self.max_value}")
        if self.identifier and self.kind not in TEXTUAL | {FieldKind.INTEGER}:
            problems.append("only texts and integers can identify something")
        if self.identifier and self.default is not MISSING and not callable(self.default):
            problems.append("an identifier cannot have the same default for all; pass a function")
        if self.unique and self.kind in NESTED:
            problems.append("unique is for single values, not for lists and dicts")
        return problems


def new_identity() -> str:
    """A fresh identity: a random UUID as text."""
    return str(uuid.uuid4())
