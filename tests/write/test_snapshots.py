"""What a snapshot belongs to, and what it brings back."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from protean import apply
from protean.elements.declarations import Declarations
from protean.elements.registry import Registry
from protean.fields import HasMany, Integer, List, String, ValueObject
from protean.ports.rows import Upsert
from protean.write.snapshots import Snapshot, layout_of, snapshot_change, snapshot_in


class Old(enum.Enum):
    OPEN = "open"


class New(enum.Enum):
    OPEN = "open"
    CLOSED = "closed"


def by_one(self: Any, event: Any) -> None:
    self.count += 1


def by_two(self: Any, event: Any) -> None:
    self.count += 2


def by_another_name(self: Any, event: Any) -> None:
    self.total += 1


def inside(self: Any, event: Any) -> None:
    self.count += sum(1 for _ in range(1))


def inside_two(self: Any, event: Any) -> None:
    self.count += sum(2 for _ in range(1))


def order(
    *,
    method: Callable[[Any, Any], None] = by_one,
    part: Any = Integer,
    value: Any = Integer,
    default: int = 0,
    members: type[enum.Enum] = Old,
    **more: Any,
) -> Any:
    """An event-sourced aggregate, which the options make another in one place."""
    domain = Declarations(Registry())

    def body(**content: Any) -> dict[str, Any]:
        return {"__module__": __name__, **content}

    worth = domain.value_object(type("Worth", (), body(cents=value())))
    domain.entity(part_of="Order")(type("Line", (), body(number=part())))
    domain.event(part_of="Order")(type("Counted", (), body(by=Integer())))
    fields = {"count": Integer(default=default), "lines": HasMany("Line"), "worth": ValueObject(worth), **more}
    cls = domain.aggregate(event_sourced=True)(
        type("Order", (), body(__annotations__={"state": members}, counted=apply("Counted")(method), **fields))
    )
    domain.registry.compile()
    return cls


@pytest.mark.parametrize(
    "changed",
    [
        {"method": by_two},
        {"method": by_another_name},
        {"method": inside_two},
        {"part": String},
        {"value": String},
        {"default": 1},
        {"members": New},
        {"another": Integer()},
        {"count": Integer(default=0, referenced_as="number")},
        {"count": List(Integer())},
    ],
    ids=[
        "method",
        "method's name",
        "what a method calls",
        "part",
        "value",
        "default",
        "members",
        "new field",
        "renamed",
        "type",
    ],
)
def test_a_snapshot_is_of_no_use_to_whoever_would_make_another_state_of_the_events(changed: dict[str, Any]) -> None:
    method = {"method": inside} if changed.get("method") is inside_two else {}
    assert layout_of(order(**method)) == layout_of(order(**method))
    assert layout_of(order(**method)) != layout_of(order(**changed))


def test_a_state_comes_back_from_a_snapshot_as_it_was() -> None:
    cls = order()
    state: dict[str, Any] = {
        "amount": Decimal("1.50"),
        "day": date(2026, 2, 20),
        "moment": datetime(2026, 2, 20, 12, tzinfo=UTC),
        "tagged": {"decimal": "1", "date": "2026-02-20"},
        "several": [Decimal(1), {"dict": []}, None, True, 1.5, "text"],
    }
    written = snapshot_change(cls, "order-1", Snapshot(3, state))
    assert isinstance(written, Upsert)
    read = snapshot_in(cls, written.values)
    assert read == Snapshot(3, state)
    assert read is not None
    assert {name: type(each) for name, each in read.state.items()} == {name: type(each) for name, each in state.items()}
