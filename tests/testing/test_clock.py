"""A clock that only the test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from protean.clock import utc_now
from protean.exceptions import InvalidOperationError
from protean.testing import Clock, stopped_clock

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.proves("protean.testing.stopped_clock")
def test_time_stands_still_until_it_is_moved_and_goes_on_afterwards() -> None:
    before = utc_now()
    with stopped_clock(NOON) as clock:
        assert (utc_now(), utc_now()) == (NOON, NOON)
        assert clock.advance(hours=1, minutes=30) == NOON + timedelta(minutes=90)
        assert clock.advance(timedelta(days=1)) == utc_now() == NOON + timedelta(days=1, minutes=90)
        clock.set(NOON - timedelta(days=365))
        assert utc_now() == NOON - timedelta(days=365)
    assert before <= utc_now() <= datetime.now(UTC)


def test_clocks_may_be_nested_and_begin_where_the_outer_one_is() -> None:
    with stopped_clock(NOON) as outer:
        with stopped_clock() as inner:
            inner.advance(seconds=1)
            assert utc_now() == NOON + timedelta(seconds=1)
        assert utc_now() == outer.now == NOON


def test_moments_are_shown_in_utc() -> None:
    assert Clock(NOON.astimezone(timezone(timedelta(hours=5)))).now.tzinfo is UTC


def test_what_is_no_moment_and_time_that_passes_backwards_are_refused() -> None:
    with pytest.raises(InvalidOperationError, match=r"with a time zone, not datetime\.datetime"):
        Clock(datetime(2030, 1, 1))  # noqa: DTZ001 - that is what is refused
    with pytest.raises(InvalidOperationError, match=r"less than none; use set\(\)"):
        Clock().advance(seconds=-1)
