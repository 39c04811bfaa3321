"""Results as a table to read and as JSON to keep."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Result

_HEAD = ("scenario", "figure", "value", "unit", "floor", "ratio", "target", "met?")
_RIGHT = {2, 4, 5}


def table(results: Iterable[Result]) -> str:
    rows: list[tuple[str, ...]] = [_HEAD]
    for result in results:
        for number, figure in enumerate(result.figures):
            rows.append((result.scenario if number == 0 else "", *_row(figure)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(_cell(row[n], widths[n], n) for n in range(len(_HEAD))).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def notes(results: Iterable[Result]) -> str:
    return "\n".join(f"{result.scenario}: {note}" for result in results for note in result.notes)


def write(path: Path, results: Iterable[Result], machine: Mapping[str, Any], *, quick: bool) -> None:
    """Scenario -> value, unit, floor, ratio, runs and more; beside them the machine."""
    scenarios = {result.scenario: result.to_json() for result in results}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"quick": quick, "machine": dict(machine), "scenarios": _rounded(scenarios)}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def number(value: float | None) -> str:
    """Three significant digits and no exponent: more would be noise."""
    if value is None:
        return ""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _row(figure: Figure) -> tuple[str, ...]:
    met = {True: "yes", False: "BROKEN" if figure.broken else "no", None: ""}[figure.met]
    target = str(figure.target) if figure.target else ""
    return figure.name, number(figure.value), figure.unit, number(figure.floor), number(figure.ratio), target, met


def _cell(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column in _RIGHT else text.ljust(width)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value
