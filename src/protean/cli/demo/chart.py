"""The drawing: production's latency over time, and the two bars of the migration below, on one axis of time.

Plain functions from figures to SVG. Colours are CSS classes, so that the page decides on light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

#: Milliseconds at which the latency axis may have a line.
LINES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000)
#: Pixels: between parts, and beside the plots for labels.
GAP, LEFT, RIGHT, TOP, BOTTOM = 34, 46, 12, 30, 26
#: Characters of a phase's name need about so many pixels each.
CHARACTER = 7.2

Scale = Callable[[float], float]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Band:
    """A phase: from and to in seconds, and its p99 in milliseconds, if it has one."""

    name: str
    began: float
    ended: float
    p99: float | None


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn. All times are seconds since the beginning; `latencies` are milliseconds."""

    title: str
    description: str
    bands: Sequence[Band]
    latencies: Sequence[Point]
    waiting: Sequence[Point]
    written: Sequence[Point]
    handled: Sequence[Point]

    @property
    def seconds(self) -> float:
        return max((band.ended for band in self.bands), default=1.0)


@dataclass(frozen=True, slots=True)
class Size:
    """Pixels. `name` keeps the identifiers of several drawings in one page apart."""

    name: str
    width: int
    latency: int
    progress: int

    @property
    def height(self) -> int:
        return TOP + self.latency + GAP + self.progress + BOTTOM

    @property
    def right(self) -> int:
        return self.width - RIGHT


def svg(drawing: Drawing, size: Size) -> str:
    """The drawing at that size; shown smaller, it shrinks as a whole."""
    time = linear(0, drawing.seconds, LEFT, size.right)
    labels = f"{size.name}-title {size.name}-description"
    parts = [
        f'<svg class="{size.name}" viewBox="0 0 {size.width} {size.height}" role="img" aria-labelledby="{labels}">',
        f'<title id="{size.name}-title">{escape(drawing.title)}</title>',
        f'<desc id="{size.name}-description">{escape(drawing.description)}</desc>',
        *_bands(drawing.bands, time, size),
        *_latency(drawing, time, size),
        *_progress(drawing, time, size),
        *_seconds(drawing.seconds, time, size),
        "</svg>",
    ]
    return "\n".join(parts)


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """From values between low and high to pixels between start and end."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """As `linear`, equal factors being equally far apart: 2 ms against 4 shows as clearly as 200 against 400."""
    scale = linear(math.log(low), math.log(high), start, end)
    return lambda value: scale(math.log(max(value, low)))


def latency_range(milliseconds: Iterable[float]) -> tuple[float, float]:
    """A little beyond the smallest and the largest; never so narrow that no line of the axis is inside."""
    values = sorted(milliseconds) or [1.0, 100.0]
    low, high = max(values[0], LINES[0]) * 0.85, min(values[-1], LINES[-1]) * 1.15
    return low, max(high, low * 3)


def round_step(span: float, most: int) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides `span` into at most so many parts."""
    least = span / most
    power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next((factor * power for factor in (1, 2, 5) if factor * power >= least), 10 * power)


def _bands(bands: Sequence[Band], time: Scale, size: Size) -> Iterable[str]:
    """Shades, each with its name where that fits above it."""
    for band in bands:
        left, right = time(band.began), time(band.ended)
        height = size.height - TOP - BOTTOM
        yield f'<rect class="band {escape(band.name)}" {_box(left, TOP, right - left, height)}/>'
        if len(band.name) * CHARACTER + 4 <= right - left:
            yield f'<text class="phase" x="{left + 4:.1f}" y="{TOP - 9}">{escape(band.name)}</text>'


def _latency(drawing: Drawing, time: Scale, size: Size) -> Iterable[str]:
    low, high = latency_range([ms for _, ms in (*drawing.latencies, *drawing.waiting)])
    bottom = TOP + size.latency
    height = logarithmic(low, high, bottom, TOP)
    for line in (line for line in LINES if low <= line <= high):
        yield _across(height(line), f"{line:,}", size)
    yield _dots("request", drawing.latencies, time, height)
    yield _dots("request waiting", drawing.waiting, time, height)
    for band in drawing.bands:
        if band.p99 is not None:
            y = height(band.p99)
            yield f'<path class="p99" d="M{time(band.began):.1f} {y:.1f}H{time(band.ended):.1f}"/>'


def _progress(drawing: Drawing, time: Scale, size: Size) -> Iterable[str]:
    top = TOP + size.latency + GAP
    most = max((events for _, events in drawing.written), default=0) or 1
    height = linear(0, most, top + size.progress, top)
    step = round_step(most, 3)
    for number in range(int(most / step) + 1):
        yield _across(height(number * step), _short(number * step), size)
    yield _line("written", drawing.written, time, height)
    yield _line("handled", drawing.handled, time, height)
    yield f'<text class="heading" x="{LEFT}" y="{top - 8}">events of the migration</text>'


def _seconds(seconds: float, time: Scale, size: Size) -> Iterable[str]:
    step = round_step(seconds, max(size.width // 90, 2))
    for number in range(int(seconds / step) + 1):
        x, y = time(number * step), size.height - 8
        yield f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{y}">{number * step:g} s</text>'


def _across(y: float, label: str, size: Size) -> str:
    return (
        f'<path class="grid" d="M{LEFT} {y:.1f}H{size.right}"/>'
        f'<text class="tick" text-anchor="end" x="{LEFT - 6}" y="{y + 4:.1f}">{label}</text>'
    )


def _dots(name: str, points: Iterable[Point], time: Scale, height: Scale) -> str:
    """One path for all: a line of no length with round ends is a dot."""
    path = "".join(f"M{time(x):.1f} {height(y):.1f}h0" for x, y in points)
    return f'<path class="{name}" d="{path}"/>'


def _line(name: str, points: Sequence[Point], time: Scale, height: Scale) -> str:
    path = "L".join(f"{time(x):.1f} {height(y):.1f}" for x, y in points)
    return f'<path class="{name}" d="M{path}"/>' if path else ""


def _box(x: float, y: float, width: float, height: float) -> str:
    return f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}"'


def _short(number: float) -> str:
    return f"{number / 1000:g}k" if number >= 1000 else f"{number:g}"
