"""Where in a list each row stands: numbers that grow, so chosen that few rows change when a list does."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def positions(before: Sequence[int | None]) -> list[int]:
    """A number for each place of a list, growing from place to place.

    `before` has the number that the row in each place has had; None where it is new there. As many as possible keep
    theirs: only what was put in or moved gets another, unless there is no room left between its neighbours.
    """
    kept = _longest_growing(before)
    after: list[int] = []
    for begin, end in zip([-1, *kept], [*kept, len(before)], strict=True):
        low = before[begin] if begin >= 0 else None
        high = before[end] if end < len(before) else None
        needed = end - begin - 1
        if low is None:
            first = 0 if high is None else high - needed
        elif high is None or high - low > needed:
            first = low + 1
        else:
            return list(range(len(before)))
        after += range(first, first + needed)
        if high is not None:
            after.append(high)
    return after


def _longest_growing(numbers: Sequence[int | None]) -> list[int]:
    """The places of the longest growing sequence among the numbers that there are."""
    ends: list[int] = []  # the smallest number that a growing sequence of that length ends with
    places: list[int] = []  # and its place
    previous: dict[int, int | None] = {}
    for place, number in enumerate(numbers):
        if number is None:
            continue
        length = bisect_left(ends, number)
        previous[place] = places[length - 1] if length else None
        if length == len(ends):
            ends.append(number)
            places.append(place)
        else:
            ends[length], places[length] = number, place
    found: list[int] = []
    last = places[-1] if places else None
    while last is not None:
        found.append(last)
        last = previous[last]
    return found[::-1]
