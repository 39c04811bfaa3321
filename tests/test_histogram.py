"""Durations in buckets: never far from the truth, and the same in whichever order they are added up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protean.histogram import LONGEST, RESOLUTION, SHORTEST, Histogram

DURATIONS = st.lists(st.floats(0.0, LONGEST, allow_nan=False), min_size=1, max_size=200)


def of(durations: list[float]) -> Histogram:
    histogram = Histogram()
    for seconds in durations:
        histogram.add(seconds)
    return histogram


def exact(durations: list[float], share: float) -> float:
    """The smallest duration that at least `share` of all are not above."""
    ordered = sorted(durations)
    return next(value for rank, value in enumerate(ordered, 1) if rank >= share * len(ordered))


@given(durations=DURATIONS, share=st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_a_bucket_of_the_truth(durations: list[float], share: float) -> None:
    quantile, truth = of(durations).quantile(share), exact(durations, share)

    assert quantile is not None
    width = 2.0 ** (1 / RESOLUTION) * 1.000001
    assert truth / width - SHORTEST <= quantile <= max(truth * width, SHORTEST)


@given(one=DURATIONS, other=DURATIONS)
def test_adding_up_is_the_same_as_counting_together(one: list[float], other: list[float]) -> None:
    merged = of(one)
    merged.merge(of(other))

    together = of(one + other)
    assert merged.count == together.count
    assert merged.to_plain()["counts"] == together.to_plain()["counts"]
    assert merged.total == pytest.approx(together.total)
    assert merged.quantile(0.95) == together.quantile(0.95)


@given(durations=DURATIONS)
def test_it_is_read_back_as_it_was_written(durations: list[float]) -> None:
    written = of(durations)

    read = Histogram.from_plain(json.loads(json.dumps(written.to_plain())))

    assert (read.to_plain(), read.count) == (written.to_plain(), written.count)


@given(durations=DURATIONS)
def test_cumulative_counts_grow_and_never_count_what_is_above(durations: list[float]) -> None:
    bounds = (0.001, 0.01, 0.1, 1.0, 10.0)

    counts = of(durations).cumulative(bounds)

    assert counts == sorted(counts)
    for bound, count in zip(bounds, counts, strict=True):
        assert count <= sum(seconds <= bound * 1.000001 for seconds in durations)
        assert count >= sum(seconds <= bound / 2.0 ** (1 / RESOLUTION) * 0.999999 for seconds in durations)


def test_nothing_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None


def test_clocks_that_disagree_count_as_no_time_at_all() -> None:
    histogram = of([-5.0])

    assert histogram.quantile(1.0) == 0.0
    assert histogram.total == 0.0


def test_longer_than_the_longest_is_one_bucket() -> None:
    assert of([LONGEST * 2, LONGEST * 100]).to_plain()["counts"].popitem()[1] == 2


@pytest.mark.parametrize(
    "plain", [{}, {"counts": {"999": 1}, "total": 0, "largest": 0}, {"counts": {"1": -1}, "total": 0, "largest": 0}]
)
def test_what_is_no_histogram_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        Histogram.from_plain(plain)
