"""What fields accept, refuse and say about it. Annotations here are evaluated at once; see also test_styles."""

import contextlib
import datetime as dt
import decimal
import enum
import uuid
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protean.elements.declarations import Declarations
from protean.elements.registry import Registry
from protean.exceptions import ConfigurationError, ValidationError
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


class Tier(enum.Enum):
    BRONZE = "bronze"
    GOLD = "gold"


AnyString: Any = String


def holder(field: Any) -> Any:
    """A class with one field, `value`."""
    cls: type = type("Holder", (), {"value": field, "__module__": __name__})
    return Declarations(Registry()).command(cls)


def annotated(annotation: Any, **namespace: Any) -> Any:
    cls = type("Holder", (), {"__annotations__": {"value": annotation}, "__module__": __name__, **namespace})
    return Declarations(Registry()).command(cls)


def complaint(cls: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        cls(value=value)
    (text,) = caught.value.messages["value"]
    return text


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        (String(max_length=3), "long", "must have at most 3 characters, not 4"),
        (String(min_length=3), "ab", "must have at least 3 characters, not 2"),
        (String(), "x" * 256, "must have at most 255 characters, not 256"),
        (String(), 5, "must be a valid string, not 5"),
        (String(), "a\x00b", "contains a NUL character"),
        (String(), "a\ud800", "contains characters that are not Unicode (lone surrogates)"),
        (String(required=True), "", "is required"),
        (String(required=True), None, "is required"),
        (Text(required=True), "", "is required"),
        (Identifier(required=True), "", "is required"),
        (Identifier(), "x" * 256, "must have at most 255 characters, not 256"),
        (Identifier(), "a\x00b", "contains a NUL character"),
        (String(choices=["a", "b"]), "c", "must be one of a, b, not 'c'"),
        (String(choices=Tier), "tin", "must be one of bronze, gold, not 'tin'"),
        (Integer(), 2**63, "must fit into 64 bits"),
        (Integer(), -(2**63) - 1, "must fit into 64 bits"),
        (Integer(min_value=1), 0, "must be at least 1, not 0"),
        (Integer(max_value=1), 2, "must be at most 1, not 2"),
        (Integer(), "many", "must be a valid integer, unable to parse string as an integer, not 'many'"),
        (Float(), float("nan"), "must be a finite number, not infinite and not NaN"),
        (Float(), float("inf"), "must be a finite number, not infinite and not NaN"),
        (Decimal(min_value=0), decimal.Decimal("-0.01"), "must be at least 0, not -0.01"),
        (List(str), ["a", 5], "item 1: must be a valid string, not 5"),
        (List(String(max_length=1)), ["ab"], "item 0: must have at most 1 characters, not 2"),
        (List(max_length=1), [1, 2], "must have at most 1 items, not 2"),
        (List(), [{"a": ["\x00"]}], "contains a NUL character"),
        (Dict(), {"a": float("nan")}, "contains nan, which JSON cannot hold"),
        (Dict(), {"a": object}, "contains <class 'object'>, and a type cannot be kept as JSON"),
        (Dict(), {"a": [2**64]}, "contains an integer beyond 64 bits"),
        (Dict(int), {"a": "x"}, "item a: must be a valid integer, unable to parse string as an integer, not 'x'"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_a_reason(field: Any, value: Any, text: str) -> None:
    assert complaint(holder(field), value) == text


@pytest.mark.parametrize(
    "field", [String(), Integer(), Float(), Decimal(), Boolean(), Identifier(), List(), DateTime()]
)
def test_a_number_too_long_to_print_is_refused_like_any_other(field: Any) -> None:
    assert complaint(holder(field), [10**5000] if field.kind == "list" else 10**5000)


def test_decimals_that_would_fill_a_disk_are_refused() -> None:
    assert "1000" in complaint(holder(Decimal()), decimal.Decimal("1E+100000"))


@pytest.mark.parametrize(
    ("field", "given_value", "kept"),
    [
        (Integer(), "42", 42),
        (Float(), "1.5", 1.5),
        (Boolean(), "true", True),
        (Date(), "2026-02-20", dt.date(2026, 2, 20)),
        (Decimal(), "1.10", decimal.Decimal("1.10")),
        (Identifier(), uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Identifier(), 7, "7"),
        (String(choices=Tier), Tier.GOLD, "gold"),
        (List(), (1, (2, Tier.GOLD)), [1, [2, "gold"]]),
        (String(required=False), "", ""),
    ],
)
def test_what_can_be_understood_is_converted(field: Any, given_value: Any, kept: Any) -> None:
    value = holder(field)(value=given_value).value
    assert value == kept
    assert isinstance(value, type(kept))


def test_moments_are_kept_in_utc_and_naive_ones_are_taken_as_utc() -> None:
    cls = holder(DateTime())
    noon = dt.datetime(2026, 2, 20, 12, tzinfo=dt.UTC)
    assert cls(value=noon.replace(tzinfo=None)).value == noon
    elsewhere = cls(value=noon.astimezone(dt.timezone(dt.timedelta(hours=5)))).value
    assert elsewhere == noon
    assert elsewhere.tzinfo is dt.UTC


def test_a_moment_before_the_year_1_in_utc_is_refused() -> None:
    early = dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=5)))
    assert complaint(holder(DateTime()), early) == "is outside the years 1 to 9999 in UTC"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=20))
def test_any_json_value_is_kept_as_it_is_or_refused(value: Any) -> None:
    cls = holder(List())
    with contextlib.suppress(ValidationError):
        assert cls(value=[value]).value == [value]


def test_a_list_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "nested" in complaint(holder(List()), endless)


def test_fields_left_out_are_none_unless_they_have_a_default() -> None:
    assert holder(String())().value is None
    assert holder(String(default="x"))().value == "x"
    assert holder(Integer(default=lambda: 3))().value == 3
    assert uuid.UUID(holder(Auto())().value).version == 4


def test_required_fields_with_a_default_may_be_left_out_but_not_be_none() -> None:
    cls = holder(Integer(required=True, default=3))
    assert cls().value == 3
    assert complaint(cls, None) == "is required"


def test_mutable_defaults_are_not_shared() -> None:
    for field in (List(default=[]), List(default=list), Dict(default={}), Dict(default=dict)):
        cls: Any = Declarations(Registry()).aggregate(type("Thing", (), {"value": field, "__module__": __name__}))
        first = cls().value
        first.append("x") if isinstance(first, list) else first.update(x=1)
        assert not cls().value


def test_an_enum_annotation_keeps_members() -> None:
    assert annotated(Tier)(value="gold").value is Tier.GOLD
    assert annotated(Tier, value=Tier.BRONZE)().value is Tier.BRONZE


def test_a_literal_annotation_lists_choices() -> None:
    assert complaint(annotated(Literal["a", "b"]), "c") == "must be one of a, b, not 'c'"


def test_own_validators_complain_by_raising_value_error() -> None:
    def even(value: int) -> None:
        if value % 2:
            raise ValueError(f"must be even, not {value}")

    assert complaint(holder(Integer(validators=[even])), 3) == "must be even, not 3"
    assert holder(Integer(validators=[even]))(value=4).value == 4


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (
            lambda: AnyString(max_lenght=5),
            "string field: unknown argument `max_lenght`, did you mean `max_length`?",
        ),
        (lambda: String(max_length=0), "string field: max_length must be at least 1, not 0"),
        (lambda: Integer(min_value=3, max_value=2), "integer field: min_value 3 is more than max_value 2"),
        (lambda: Float(identifier=True), "float field: only texts and integers can identify something"),
        (lambda: List(unique=True), "list field: unique is for single values, not for lists and dicts"),
        (lambda: holder(Integer(default="x")), "the default of `value` in Holder must be a valid integer"),
        (lambda: annotated(uuid.UUID), "`value` of Holder: <class 'uuid.UUID'> cannot be stored"),
        (lambda: annotated(int | str), "`value` of Holder: int | str cannot be stored"),
        (lambda: annotated(String), "`value` of Holder: String is a function; write String()"),
        (lambda: annotated(int, value=String()), "`value` of Holder: the annotation says integer, the value string"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_at_once(declare: Any, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        declare()
    assert str(caught.value).startswith(text)
