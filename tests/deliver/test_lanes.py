"""Which lane, which stream, which rows: decisions without a server."""

from __future__ import annotations

import pytest

from protean.deliver.lanes import Lane, Lanes, dead_letter_stream
from protean.ports.outbox import Claim
from protean.priority import Priority


@pytest.mark.parametrize(
    ("priority", "lane"),
    [
        (Priority.BULK, "backfill"),
        (Priority.LOW, "backfill"),
        (-1, "backfill"),
        (0, "primary"),
        (Priority.HIGH, "primary"),
    ],
)
def test_what_is_below_the_threshold_takes_the_backfill_lane(priority: int, lane: str) -> None:
    assert Lanes(enabled=True).lane_of(priority) == lane


def test_without_lanes_everything_is_productions() -> None:
    lanes = Lanes(enabled=False)
    assert lanes.lane_of(Priority.BULK) is Lane.PRIMARY
    assert lanes.in_use == (Lane.PRIMARY,)
    assert lanes.claim("default", Lane.PRIMARY) == Claim("default", "primary")


def test_the_two_relays_share_all_priorities_and_overlap_in_none() -> None:
    lanes = Lanes(enabled=True, threshold=-10)
    assert lanes.claim("b", Lane.PRIMARY) == Claim("b", "primary", at_least=-10)
    assert lanes.claim("b", Lane.BACKFILL) == Claim("b", "backfill", below=-10)


def test_streams_are_named_as_the_guide_prints_them() -> None:
    lanes = Lanes(enabled=True)
    assert lanes.stream("customer", Lane.PRIMARY) == "customer"
    assert lanes.stream("customer", Lane.BACKFILL) == "customer:backfill"
    assert dead_letter_stream("customer:backfill") == "customer:backfill:dlq"


def test_suffix_and_prefix_are_the_configurations() -> None:
    lanes = Lanes(enabled=True, backfill_suffix="slow", stream_prefix="shop.")
    assert lanes.stream("customer", Lane.BACKFILL) == "shop.customer:slow"
