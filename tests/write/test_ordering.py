"""Numbers that keep a list in order while few of them change."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protean.write.ordering import positions


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], []),
        ([None, None], [0, 1]),
        ([0, 1, None], [0, 1, 2]),
        ([None, 0, 1], [-1, 0, 1]),
        ([9, 0, 1, 2], [-1, 0, 1, 2]),
        ([1, 2, 0], [1, 2, 3]),
        ([0, None, 5], [0, 1, 5]),
        ([0, None, None, 2], [0, 1, 2, 3]),
        ([3, 7], [3, 7]),
    ],
)
def test_what_stays_keeps_its_number(before: list[int | None], after: list[int]) -> None:
    assert positions(before) == after


@given(st.lists(st.none() | st.integers(-20, 20), max_size=12))
def test_numbers_grow_from_place_to_place_whatever_they_were(before: list[int | None]) -> None:
    after = positions(before)
    assert len(after) == len(before)
    assert all(left < right for left, right in pairwise(after))


@given(st.lists(st.integers(-20, 20), unique=True, max_size=12).map(sorted), st.data())
def test_taking_out_and_adding_at_the_ends_changes_no_other_number(numbers: list[int], data: st.DataObject) -> None:
    left = [number for number in numbers if data.draw(st.booleans())]
    assert positions([None, *left, None])[1:-1] == left
