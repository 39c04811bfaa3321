"""Objects to rows and back."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protean.elements.aggregate import version_of
from protean.elements.declarations import Declarations
from protean.elements.registry import Registry
from protean.elements.state import explicitly_set, loaded_row, restore, set_loaded_row, state_of
from protean.exceptions import DeserializationError, ValidationError
from protean.fields import Identifier, List, String

shop = Declarations(Registry())


class Tier(enum.IntEnum):
    LOW = 1
    HIGH = 2


@shop.aggregate
class Order:
    number: Identifier(identifier=True)  # type: ignore[valid-type]  # a call is no type
    label = String(referenced_as="label_text", choices=["a", "b"])
    total: decimal.Decimal | None = None
    tier: Tier = Tier.LOW
    due: dt.date | None = None
    days: list[dt.date] = []
    tags: list[str] = []
    extra: dict[str, Any] = {}
    anything = List()
    codes = List(String(max_length=3))


AnyOrder: Any = Order
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
orders = st.builds(
    AnyOrder,
    number=texts.filter(bool),
    label=st.sampled_from([None, "a", "b"]),
    total=st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    tier=st.sampled_from(Tier),
    due=st.none() | st.dates(),
    days=st.lists(st.dates(), max_size=3),
    tags=st.lists(texts, max_size=3),
    extra=st.dictionaries(texts, json_values, max_size=3),
    anything=st.none() | st.lists(json_values, max_size=3),
)


@given(orders, st.integers(-1, 100))
def test_a_restored_object_has_the_same_state(order: Any, version: int) -> None:
    row = state_of(order)
    again = restore(AnyOrder, row, version)
    assert (again, version_of(again)) == (order, version)
    assert {name: getattr(again, name) for name in again.__protean__.fields} == {
        name: getattr(order, name) for name in order.__protean__.fields
    }
    assert state_of(again) == row


def test_rows_hold_plain_values_under_the_columns_names() -> None:
    row = state_of(AnyOrder(number=1, label="a", tier=2, days=[dt.date(2026, 2, 20)]))
    assert (row["number"], row["label_text"], row["tier"], row["days"]) == ("1", "a", 2, ["2026-02-20"])
    assert type(row["tier"]) is int
    assert "label" not in row


def test_rows_and_objects_share_no_lists_or_dicts() -> None:
    order = AnyOrder(number="1", tags=["a"], extra={"a": {"b": []}}, anything=[[1]])
    row = state_of(order)
    again = restore(AnyOrder, row)
    for owner in (order, again):
        owner.tags.append("b")
        owner.extra["a"]["b"].append(1)
        owner.anything[0].append(2)
    assert (row["tags"], row["extra"], row["anything"]) == (["a"], {"a": {"b": []}}, [[1]])


def test_a_list_spoilt_in_place_is_found_before_it_is_stored() -> None:
    order = AnyOrder(number="1")
    order.tags.append("\x00")
    with pytest.raises(ValidationError) as caught:
        state_of(order)
    assert caught.value.messages == {"tags": ["item 0: contains a NUL character"]}


def test_a_restored_object_validates_what_happens_next() -> None:
    order = restore(AnyOrder, state_of(AnyOrder(number="1")))
    assert explicitly_set(order) == set()
    with pytest.raises(ValidationError):
        order.label = "c"
    order.label = "b"
    assert explicitly_set(order) == {"label"}


def test_rules_that_became_stricter_do_not_lock_old_rows_out() -> None:
    row = {**state_of(AnyOrder(number="1")), "label_text": "gone", "codes": ["long"]}
    order = restore(AnyOrder, row)
    assert (order.label, order.codes) == ("gone", ["long"])


def test_a_list_that_todays_rules_refuse_is_saved_as_it_is_and_not_with_a_change() -> None:
    row = {**state_of(AnyOrder(number="1")), "codes": ["long"]}
    order = restore(AnyOrder, row)
    order.total = 5
    assert state_of(order) == {**row, "total": 5}
    order.codes.append("b")
    with pytest.raises(ValidationError) as caught:
        state_of(order)
    assert caught.value.messages == {"codes": ["item 0: must have at most 3 characters, not 4"]}


def test_a_row_that_cannot_be_read_is_named() -> None:
    row = state_of(AnyOrder(number="1"))
    with pytest.raises(DeserializationError, match="a row of order has no column 'tags', which Order declares"):
        restore(AnyOrder, {name: value for name, value in row.items() if name != "tags"})
    with pytest.raises(DeserializationError, match="a row of order does not fit Order: 9 is not a valid Tier"):
        restore(AnyOrder, {**row, "tier": 9})


def test_the_row_last_loaded_or_saved_is_remembered() -> None:
    order = AnyOrder(number="1")
    assert loaded_row(order) is None
    set_loaded_row(order, row := state_of(order))
    assert loaded_row(order) is row
    assert loaded_row(restore(AnyOrder, row)) is row
