"""One field as plain data: what it holds and what it refuses. Knows neither pydantic nor storage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, ClassVar, Final, Self

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
    VALUE = "value object"  # in the owner's table a column for each of its fields, elsewhere a JSON object
    OBJECT = "object"  # a value object that is a JSON object everywhere
    METHOD = "method"  # computed when it is read, and not stored


class Missing(Enum):
    """The type of `MISSING`, which is no default at all, where None would be one."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

TEXTUAL: Final = frozenset({FieldKind.STRING, FieldKind.TEXT, FieldKind.IDENTIFIER})
#: What a table keeps as JSON.
NESTED: Final = frozenset({FieldKind.LIST, FieldKind.DICT, FieldKind.OBJECT})
#: What holds a value object.
VALUES: Final = frozenset({FieldKind.VALUE, FieldKind.OBJECT})

Validator = Callable[[Any], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """A field as declared.

    `required` refuses None (a column: NOT NULL); `default` is a value or a function without arguments.
    `enum`, where given, is the class whose members the field holds; `choices` are plain values.
    `content` describes the items of a list or the values of a dict; without it they are any JSON.
    `value` is the class of a value object, `method` the name of what computes a METHOD.
    `transitions` are the moves allowed from each member of `enum`; without them all are.
    `column` is where storage keeps it, when that is not the field's own name; of a value object, what the names of its
    columns begin with.
    `increment`: an identity that the database counts.
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
    value: type[Embeddable] | None = None
    method: str = ""
    transitions: Mapping[Enum, tuple[Enum, ...]] | None = None
    validators: tuple[Validator, ...] = ()
    description: str | None = None
    column: str | None = None
    increment: bool = False

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
        if self.increment and self.default is not MISSING:
            problems.append("an identity that is counted has no other default")
        if self.unique and self.kind in NESTED | VALUES:
            problems.append(
                "unique is for single values, not for lists and dicts"
                if self.kind not in VALUES
                else "unique is for single values; say it in the value object, of the field that is"
            )
        return problems


class Embeddable(ABC):
    """What a class must be for its instances to be held in fields: immutable, equal by content, made of fields."""

    __slots__ = ()

    #: Its fields, by name.
    __embedded__: ClassVar[Mapping[str, FieldSpec]]

    @classmethod
    @abstractmethod
    def __from_stored__(cls, data: Mapping[str, Any]) -> Self:
        """The value that was stored as that JSON object. It is trusted: it passed validation on its way in.

        Raises ValueError for what an enum or a type does not know (any more).
        """

    @classmethod
    @abstractmethod
    def __from_columns__(cls, row: Mapping[str, Any]) -> Self:
        """The value whose fields are in these columns, called as in a table of its own; trusted too."""
