"""Figures as people read them. `static/format.js` says the same in the browser, so that nothing flickers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from protean.server.observatory.judging import duration

#: What stands where there is nothing to say.
NOTHING = "–"  # noqa: RUF001  # a dash for readers, not a minus
#: Longest time, in seconds, that is said in seconds, and in minutes.
SECONDS, MINUTES = 90, 5400


def at(document: Any, path: str) -> Any:
    """The value at `a.b.c` of nested mappings; None where there is none."""
    for name in path.split(".") if path else ():
        if not isinstance(document, Mapping):
            return None
        document = document.get(name)
    return document


def show(value: Any, kind: str = "text") -> str:
    """A value as text; see `KINDS`."""
    return NOTHING if value is None or value == "" else KINDS[kind](value)


def points(values: Sequence[float], width: float = 100.0, height: float = 20.0) -> str:
    """A line through the values, as an SVG polyline has it; flat at the bottom where all are 0."""
    top = max(values, default=0.0) or 1.0
    step = width / max(1, len(values) - 1)
    return " ".join(
        f"{number * step:.1f},{height - 1 - value / top * (height - 2):.1f}" for number, value in enumerate(values)
    )


def _rate(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 9.95 or value == 0 else f"{value:,.{1 if value >= 0.095 else 2}f}/s"


def _percentiles(value: Mapping[str, float]) -> str:
    return f"{_trio(value, ' / ')} ms"


def _trio(value: Mapping[str, float], between: str = "/") -> str:
    return between.join(_short(value[name]) for name in ("p50_ms", "p95_ms", "p99_ms"))


def _short(value: float) -> str:
    return f"{value:,.{0 if value >= 9.95 else 1}f}"


def _eta(value: Sequence[float]) -> str:
    low, high = value
    if high <= 0:
        return "now"
    size, unit = (1, "s") if high < SECONDS else (60, "min") if high < MINUTES else (3600, "h")
    least, most = max(1, math.floor(low / size)), max(1, math.ceil(high / size))
    return f"{least} {unit}" if least == most else f"{least}–{most} {unit}"  # noqa: RUF001  # the dash of a range


def _clock(value: str) -> str:
    return f"{datetime.fromisoformat(value):%H:%M:%S}"


def _moment(value: str) -> str:
    return f"{datetime.fromisoformat(value):%Y-%m-%d %H:%M} UTC"


#: Ways to show a value, by the name that templates give.
KINDS: Mapping[str, Callable[[Any], str]] = {
    "text": str,
    "count": lambda value: f"{value:,.0f}",
    "rate": _rate,
    "ms": lambda value: duration(value / 1000),
    "s": duration,
    "times": lambda value: f"{value:.1f}\N{MULTIPLICATION SIGN}",
    "percentiles": _percentiles,
    "trio": _trio,
    "eta": _eta,
    "clock": _clock,
    "moment": _moment,
    "names": lambda value: ", ".join(map(str, value)),
}
