# ruff: noqa: N802 -- these functions stand where types stand, and are named like them
"""The field functions users write. Each returns a `FieldSpec`, typed Any so that
`name: str = String()` is correct to type checkers.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal, TypedDict, Unpack

from protean.exceptions import ConfigurationError
from protean.fields.annotations import kind_of_values, spec_of_annotation
from protean.fields.spec import MISSING, TEXTUAL, Embeddable, FieldKind, FieldSpec, Validator
from protean.identities import new_identity
from protean.suggestion import did_you_mean


class Options(TypedDict, total=False):
    """What every field function takes.

    `required` refuses None and, for texts, the empty one; otherwise the field may be left out and is None.
    `default` is a value or a function without arguments. `choices` is an Enum class or the values allowed.
    `validators` are functions that raise ValueError; `referenced_as` names the column.
    """

    required: bool
    identifier: bool
    default: Any
    unique: bool
    choices: type[Enum] | Iterable[Any]
    validators: Sequence[Validator]
    description: str
    referenced_as: str


def String(*, max_length: int = 255, min_length: int | None = None, **options: Unpack[Options]) -> Any:
    """A short text, by default of at most 255 characters."""
    return _field(FieldKind.STRING, options, max_length=max_length, min_length=min_length)


def Text(*, max_length: int | None = None, min_length: int | None = None, **options: Unpack[Options]) -> Any:
    """A text of any length."""
    return _field(FieldKind.TEXT, options, max_length=max_length, min_length=min_length)


def Identifier(*, max_length: int = 255, **options: Unpack[Options]) -> Any:
    """An identity of this object or another: a text. UUIDs and integers are taken as their text."""
    return _field(FieldKind.IDENTIFIER, options, max_length=max_length)


def Auto(
    *,
    init: Literal[False] = False,  # noqa: ARG001 -- tells type checkers that the constructor need not be given it
    increment: bool = False,
    **options: Unpack[Options],
) -> Any:
    """An identity that is made up where none is given: a random UUID, or with `increment` the next whole number.

    Numbers are counted by the database, when the object is made. One is given out once; some may be left out.
    """
    if increment:
        return replace(_field(FieldKind.INTEGER, options, min_value=None, max_value=None), increment=True)
    return _field(FieldKind.IDENTIFIER, {"default": new_identity, **options}, max_length=255)


def Integer(*, min_value: int | None = None, max_value: int | None = None, **options: Unpack[Options]) -> Any:
    """A whole number of at most 64 bits."""
    return _field(FieldKind.INTEGER, options, min_value=min_value, max_value=max_value)


def Float(*, min_value: float | None = None, max_value: float | None = None, **options: Unpack[Options]) -> Any:
    """A binary floating point number; infinities and NaN are refused, databases and JSON cannot hold them."""
    return _field(FieldKind.FLOAT, options, min_value=min_value, max_value=max_value)


def Decimal(
    *,
    min_value: decimal.Decimal | int | None = None,
    max_value: decimal.Decimal | int | None = None,
    **options: Unpack[Options],
) -> Any:
    """An exact decimal number, for money."""
    return _field(FieldKind.DECIMAL, options, min_value=min_value, max_value=max_value)


def Boolean(**options: Unpack[Options]) -> Any:
    """True or False."""
    return _field(FieldKind.BOOLEAN, options)


def Date(
    *,
    min_value: dt.date | None = None,
    max_value: dt.date | None = None,
    **options: Unpack[Options],
) -> Any:
    """A day, without time and zone."""
    return _field(FieldKind.DATE, options, min_value=min_value, max_value=max_value)


def DateTime(
    *,
    min_value: dt.datetime | None = None,
    max_value: dt.datetime | None = None,
    **options: Unpack[Options],
) -> Any:
    """A moment, kept in UTC; one given without a zone is taken as UTC."""
    return _field(FieldKind.DATETIME, options, min_value=min_value, max_value=max_value)


def List(
    content_type: Any = None,
    *,
    max_length: int | None = None,
    min_length: int | None = None,
    **options: Unpack[Options],
) -> Any:
    """A list of `content_type` (`str`, `String(max_length=20)`), or of anything JSON can hold."""
    return _field(FieldKind.LIST, options, content=_content(content_type), max_length=max_length, min_length=min_length)


def Dict(content_type: Any = None, **options: Unpack[Options]) -> Any:
    """A dict of texts to `content_type`, or to anything JSON can hold."""
    return _field(FieldKind.DICT, options, content=_content(content_type))


def ValueObject(value: type, **options: Unpack[Options]) -> Any:
    """A value object, kept in a column for each of its fields: `price` in `price_amount` and `price_currency`.

    Left out, all of them are null. In commands, events and other value objects it is a JSON object.
    """
    return _field(FieldKind.VALUE, options, value=_value_class("ValueObject()", value))


def Nested(value: type, **options: Unpack[Options]) -> Any:
    """A value object, kept as a JSON object in one column: it cannot be asked for by its fields."""
    return _field(FieldKind.OBJECT, options, value=_value_class("Nested()", value))


def Status(
    states: Any,
    *,
    transitions: Mapping[Any, Iterable[Any]] | None = None,
    **options: Unpack[Options],
) -> Any:
    """A member of an Enum that changes step by step: `transitions={Order.DRAFT: [Order.PLACED], …}`.

    A state that `transitions` has no moves for is final. Without `transitions`, every move is allowed. A new object may
    begin in any state, and None may become any.
    """
    given: object = states  # not every caller has a type checker
    if not (isinstance(given, type) and issubclass(given, Enum)):
        raise ConfigurationError(f"Status() takes an Enum class, not {states!r:.80}")
    if "choices" in options:
        raise ConfigurationError(f"status field: the choices are the members of {states.__name__}; take `choices` away")
    kind = kind_of_values(states, [state.value for state in states])
    return replace(_field(kind, options), enum=states, transitions=_transitions(states, transitions))


def Method(
    name: Any,
    *,
    init: Literal[False] = False,  # noqa: ARG001 -- tells type checkers that it is not given to the constructor
    description: str | None = None,
) -> Any:
    """What the method of that name returns: read like a field, computed each time, and not stored."""
    given: object = name  # not every caller has a type checker
    if not isinstance(given, str) or not given.isidentifier():
        raise ConfigurationError(f"Method() takes the name of a method of its class, not {name!r:.80}")
    return FieldSpec(kind=FieldKind.METHOD, method=name, description=description)


FIELD_FUNCTIONS = (
    String,
    Text,
    Identifier,
    Auto,
    Integer,
    Float,
    Decimal,
    Boolean,
    Date,
    DateTime,
    List,
    Dict,
    ValueObject,
    Nested,
    Status,
    Method,
)


def _field(kind: FieldKind, options: Options, **rules: Any) -> FieldSpec:
    allowed = [*Options.__annotations__, *rules]
    for name in options:
        if name not in allowed:
            raise ConfigurationError(f"{kind.value} field: unknown argument `{name}`{did_you_mean(name, allowed)}")
    identifier = options.get("identifier", False)
    required = options.get("required", False) or identifier
    if required and kind in TEXTUAL:
        rules["min_length"] = max(1, rules.get("min_length") or 0)
    return FieldSpec(
        kind=kind,
        required=required,
        identifier=identifier,
        default=options.get("default", MISSING),
        unique=options.get("unique", False),
        choices=_choices(options.get("choices", ())),
        validators=tuple(options.get("validators", ())),
        description=options.get("description"),
        column=options.get("referenced_as"),
        **rules,
    )


def _choices(choices: type[Enum] | Iterable[Any]) -> tuple[Any, ...]:
    """The plain values: a String holds texts, also where an Enum lists them."""
    return tuple(choice.value if isinstance(choice, Enum) else choice for choice in choices)


def _content(content_type: Any) -> FieldSpec | None:
    if content_type is None:
        return None
    if content_type in (ValueObject, Nested, Status, Method):
        raise ConfigurationError(f"{content_type.__name__} is a function; write {content_type.__name__}(…)")
    if content_type in FIELD_FUNCTIONS:
        spec = content_type()
    elif isinstance(content_type, str):
        spec = _value_class("a list or dict", content_type)
    else:
        spec = content_type
    spec = spec if isinstance(spec, FieldSpec) else spec_of_annotation(spec)
    if spec.kind is FieldKind.METHOD:
        raise ConfigurationError("a list or dict holds values, not a Method()")
    # Nobody means that a list of prices may hold None; and there are no columns that it would leave empty.
    return replace(spec, required=True) if spec.value is not None else spec


def _value_class(where: str, given: object) -> type[Embeddable]:
    if isinstance(given, type) and issubclass(given, Embeddable):
        return given
    if isinstance(given, str):
        raise ConfigurationError(
            f"{where} takes the class, not its name {given!r:.50}; declare the value object before it"
        )
    raise ConfigurationError(f"{where} takes a class declared with @domain.value_object, not {given!r:.80}")


def _transitions(
    states: Any, transitions: Mapping[Any, Iterable[Any]] | None
) -> Mapping[Enum, tuple[Enum, ...]] | None:
    if transitions is None:
        return None
    moves = {_state(states, before): after for before, after in transitions.items()}
    for before, after in moves.items():
        if isinstance(after, str | Enum):
            raise ConfigurationError(f"status field: the moves from {before.name} must be a list, not {after!r:.50}")
    named = {before: tuple(_state(states, state) for state in after) for before, after in moves.items()}
    return MappingProxyType({state: named.get(state, ()) for state in states})


def _state(states: type[Enum], given: object) -> Enum:
    try:
        return states(given)
    except ValueError:
        known = ", ".join(state.name for state in states)
        raise ConfigurationError(
            f"status field: {given!r:.50} is no member of {states.__name__}; there are {known}"
        ) from None
