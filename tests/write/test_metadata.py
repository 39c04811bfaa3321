"""Metadata as it is written: the compiled schema says, byte for byte, what encoding value by value says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from protean import codec
from protean.message import MessageKind
from protean.priority import Priority

USUAL: dict[str, Any] = {
    "id": "6f6d1d3e-3f0c-4c0f-9a53-9a4b0f1c2d3e",
    "type": "Deposited",
    "version": 1,
    "kind": MessageKind.EVENT,
    "stream_name": "account-acc-0",
    "category": "account",
    "priority": Priority.NORMAL,
    "time": datetime(2026, 2, 3, 4, 5, 6, 789000, tzinfo=UTC),
    "correlation_id": "c-1",
    "causation_id": None,
}
TEXTS = ("id", "type", "stream_name", "category", "correlation_id", "causation_id")


class Plan(Enum):
    FREE = "free"


def value_by_value(parts: dict[str, Any], headers: dict[str, Any]) -> str:
    return to_json({**parts, **headers}).decode()


def compiled(parts: dict[str, Any], headers: dict[str, Any]) -> str:
    named = {{"id": "message_id", "type": "message_type"}.get(name, name): value for name, value in parts.items()}
    return codec.metadata_json(**named, headers=headers)


ZONES = st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
MOMENTS = st.datetimes(timezones=st.none() | st.just(UTC) | ZONES)
SIMPLE = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | MOMENTS | st.uuids() | st.decimals()
HEADERS = st.dictionaries(
    st.text().filter(lambda name: name not in codec.KNOWN),
    st.recursive(SIMPLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)),
    max_size=4,
)
PARTS = st.fixed_dictionaries(
    {
        **dict.fromkeys(("id", "type", "stream_name", "category"), st.text()),
        **dict.fromkeys(("correlation_id", "causation_id"), st.none() | st.text()),
        "version": st.integers(1, 2**63),
        "kind": st.sampled_from(MessageKind),
        "priority": st.sampled_from(Priority) | st.integers(-100, 100),
        "time": MOMENTS,
    }
).map(lambda drawn: {name: drawn[name] for name in USUAL})


@given(parts=PARTS, headers=HEADERS)
def test_metadata_is_written_as_it_would_be_value_by_value(parts: dict[str, Any], headers: dict[str, Any]) -> None:
    assert compiled(parts, headers) == value_by_value(parts, headers)


@pytest.mark.parametrize(
    ("parts", "headers"),
    [
        *[({"priority": priority}, {}) for priority in Priority],
        *[({"kind": kind}, {}) for kind in MessageKind],
        ({"correlation_id": None, "causation_id": None}, {}),
        ({"time": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=45)))}, {}),
        ({"time": datetime.max.replace(tzinfo=UTC)}, {}),
        (
            {},
            {"plan": Plan.FREE, "user": UUID(int=7), "limit": Decimal("1.50"), "tags": {"née"}, "ratio": float("nan")},
        ),
        ({"type": 'née \U0001f600 \u2028 \0 \x7f "\\/'}, {"\0": "\t"}),
    ],
    ids=repr,
)
def test_these_above_all(parts: dict[str, Any], headers: dict[str, Any]) -> None:
    assert compiled({**USUAL, **parts}, headers) == value_by_value({**USUAL, **parts}, headers)


@pytest.mark.parametrize("lone", ["\ud800", "x\udfff"])
@pytest.mark.parametrize("where", [*TEXTS, "a header", "a header's name"])
def test_half_a_character_is_refused_wherever_it_stands(where: str, lone: str) -> None:
    """No database keeps it, and no JSON has it."""
    headers: dict[str, Any] = {"a header": {"user": lone}, "a header's name": {lone: 1}}.get(where, {})
    parts = {**USUAL, where: lone} if where in TEXTS else USUAL
    for write in (compiled, value_by_value):
        with pytest.raises(ValueError, match="surrogates"):
            write(parts, headers)
