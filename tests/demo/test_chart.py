"""The drawing."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from protean.cli.demo.chart import LINES, Band, Drawing, Size, latency_range, linear, logarithmic, round_step, svg

SIZE = Size("wide", 960, 260, 120)
DRAWING = Drawing(
    title="Before & after",
    description='<script>alert("x")</script>',
    bands=[Band("idle", 0, 10, 5.0), Band("migrating", 10, 20, 8.0), Band("draining", 20, 20.1, None)],
    latencies=[(1.0, 4.0), (12.0, 8.0)],
    waiting=[(13.0, 9.0)],
    written=[(0.0, 0), (20.0, 1000)],
    handled=[(0.0, 0), (20.0, 990)],
)


def test_texts_are_escaped_and_the_drawing_is_well_formed() -> None:
    root = ET.fromstring(svg(DRAWING, SIZE))

    assert [child.text for child in root[:2]] == ["Before & after", '<script>alert("x")</script>']
    assert "<script" not in svg(DRAWING, SIZE)


def test_the_drawing_is_described_for_those_who_do_not_see_it() -> None:
    root = ET.fromstring(svg(DRAWING, SIZE))

    assert root.get("role") == "img"
    assert (root.get("aria-labelledby") or "").split() == [child.get("id") for child in root[:2]]


def test_a_drawing_of_nothing_is_a_drawing() -> None:
    ET.fromstring(svg(Drawing("", "", [], [], [], [], []), SIZE))


def test_scales_end_where_they_should() -> None:
    across, up = linear(0, 10, 40, 140), logarithmic(1, 100, 200, 0)

    assert [across(value) for value in (0, 5, 10)] == [40, 90, 140]
    assert [up(value) for value in (1, 10, 100)] == pytest.approx([200, 100, 0])
    assert up(0.2) == pytest.approx(200)


@pytest.mark.parametrize("values", [[], [3.0, 40.0], [5.0], [0.1, 2.0]])
def test_the_latency_axis_encloses_what_it_shows_and_has_a_line(values: list[float]) -> None:
    low, high = latency_range(values)

    assert all(max(low, 1) <= max(value, 1) <= high for value in values)
    assert any(low <= line <= high for line in LINES)


@pytest.mark.parametrize(("span", "step"), [(10_000, 5_000), (900, 500), (3, 1), (61, 50)])
def test_ticks_stand_at_round_numbers(span: float, step: float) -> None:
    assert round_step(span, 3) == step
