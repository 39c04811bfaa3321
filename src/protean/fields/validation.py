"""Field descriptions into what pydantic runs: an annotation with the field's rules.

Whatever passes here can be stored by every database and travel as JSON, and comes back equal: no NUL
characters, no lone surrogates, no NaN, no integers beyond 64 bits, moments in UTC.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from protean.fields.frozen import FrozenDict, FrozenList, frozen_json
from protean.fields.spec import NESTED, TEXTUAL, FieldKind, FieldSpec, Validator

#: Matches every text without NUL, which PostgreSQL cannot store. Checked in Rust, in some ten nanoseconds.
NO_NUL: Final = r"^[^\x00]*$"
MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**63 - 1
#: Deepest nesting of a list or dict; deeper ones are cyclic or hostile, and cost the stack everywhere.
MAX_DEPTH: Final = 32
#: Digits of a decimal, written out. PostgreSQL holds more, nobody needs them, and `1E+100000` is an attack.
MAX_DIGITS: Final = 1000

_TYPES: Final[dict[FieldKind, Any]] = {
    FieldKind.STRING: str,
    FieldKind.TEXT: str,
    FieldKind.IDENTIFIER: str,
    FieldKind.INTEGER: int,
    FieldKind.FLOAT: float,
    FieldKind.DECIMAL: decimal.Decimal,
    FieldKind.BOOLEAN: bool,
    FieldKind.DATE: dt.date,
    FieldKind.DATETIME: dt.datetime,
}

_FROZEN: Final[dict[FieldKind, Any]] = {FieldKind.LIST: FrozenList, FieldKind.DICT: FrozenDict}


def annotation_of(spec: FieldSpec, *, frozen: bool = False) -> Any:
    """The annotation pydantic validates a field's values by. `frozen`: lists and dicts in it never change."""
    metadata: list[Any] = [*_rules(spec), *_choices(spec)]
    metadata += [AfterValidator(_checking(validator)) for validator in spec.validators]
    return _annotated(spec, _type(spec, frozen=frozen), [*metadata, *_freezing(spec, frozen=frozen)])


def stored_annotation_of(spec: FieldSpec, *, frozen: bool = False) -> Any:
    """The same for what comes out of storage: without the rules, which may have become stricter since."""
    plain = FieldSpec(kind=spec.kind, required=spec.required, enum=spec.enum, content=spec.content, value=spec.value)
    metadata = [*_rules(plain), *_freezing(plain, frozen=frozen)]
    return _annotated(plain, _type(plain, frozen=frozen, stored=True), metadata)


def _annotated(spec: FieldSpec, annotation: Any, metadata: list[Any]) -> Any:
    for item in metadata:
        annotation = Annotated[annotation, item]
    return annotation if spec.required else annotation | None


def _type(spec: FieldSpec, *, frozen: bool, stored: bool = False) -> Any:
    if spec.enum is not None:
        return spec.enum
    if spec.value is not None:
        return Annotated[dict[str, Any], AfterValidator(spec.value.__from_stored__)] if stored else spec.value
    if spec.kind not in NESTED:
        return _TYPES[spec.kind]
    of_content = stored_annotation_of if stored else annotation_of
    content = Any if spec.content is None else of_content(spec.content, frozen=frozen)
    key = Annotated[str, StringConstraints(pattern=NO_NUL)]
    return list[content] if spec.kind is FieldKind.LIST else dict[key, content]  # type: ignore[valid-type]  # made, not written


def _freezing(spec: FieldSpec, *, frozen: bool) -> list[Any]:
    if not frozen or spec.kind not in _FROZEN:
        return []
    return [AfterValidator(_FROZEN[spec.kind] if spec.content is not None else frozen_json)]


def _rules(spec: FieldSpec) -> list[Any]:
    bounds = Field(ge=spec.min_value, le=spec.max_value)
    if spec.enum is not None or spec.value is not None:
        return []
    if spec.kind in TEXTUAL:
        return _text_rules(spec)
    if spec.kind in NESTED:
        lengths = [Field(min_length=spec.min_length, max_length=spec.max_length)]
        return lengths if spec.content is not None else [*lengths, AfterValidator(json_value)]
    return [*_OWN_RULES.get(spec.kind, ()), bounds]


def _text_rules(spec: FieldSpec) -> list[Any]:
    rules: list[Any] = [StringConstraints(pattern=NO_NUL, min_length=spec.min_length, max_length=spec.max_length)]
    # Around the rules, not within: what follows a function is checked in Python, at ten times the price.
    return [*rules, BeforeValidator(_identity_text)] if spec.kind is FieldKind.IDENTIFIER else rules


def _identity_text(value: object) -> object:
    if type(value) is str:  # nearly always; every command and event comes by here
        return value
    if isinstance(value, (uuid.UUID, int)) and not isinstance(value, bool):
        return str(value)
    return value


def _in_utc(value: dt.datetime) -> dt.datetime:
    if value.tzinfo is None:
        return value.replace(tzinfo=dt.UTC)
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999 in UTC") from None


_OWN_RULES: Final[dict[FieldKind, list[Any]]] = {
    FieldKind.INTEGER: [Field(ge=MIN_INTEGER, le=MAX_INTEGER)],
    FieldKind.FLOAT: [Field(allow_inf_nan=False)],
    FieldKind.DECIMAL: [Field(max_digits=MAX_DIGITS, allow_inf_nan=False)],
    FieldKind.DATETIME: [AfterValidator(_in_utc)],
}


def _choices(spec: FieldSpec) -> list[Any]:
    if not spec.choices:
        return []
    listed = ", ".join(str(choice) for choice in spec.choices)

    def plain(value: object) -> object:
        return value.value if isinstance(value, Enum) else value

    def one_of(value: Any) -> Any:
        if value not in spec.choices:
            raise ValueError(f"must be one of {listed}, not {value!r:.50}")
        return value

    return [BeforeValidator(plain), AfterValidator(one_of)]


def _checking(validator: Validator) -> Callable[[Any], Any]:
    """A user's validator says no by raising; what it returns does not replace the value."""

    def checked(value: Any) -> Any:
        validator(value)
        return value

    return checked


def json_value(value: Any, depth: int = 0) -> Any:
    """A deep copy of a value of JSON shape. Raises ValueError saying what cannot be kept as JSON."""
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, dict):
        return {_clean_key(key): json_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item, depth + 1) for item in value]
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
        raise ValueError("contains an integer beyond 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"contains {value}, which JSON cannot hold")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise ValueError(f"contains {value!r:.50}, and a {type(value).__name__} cannot be kept as JSON")


def _clean_text(text: str) -> str:
    if "\x00" in text:
        raise ValueError("contains a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("contains characters that are not Unicode (lone surrogates)") from None
    return str(text)


def _clean_key(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"contains the key {key!r:.50}; keys are texts")  # noqa: TRY004 -- pydantic wants it
    return _clean_text(key)
