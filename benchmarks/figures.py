"""What a scenario reports: figures, each with its floor, its runs and its target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure, or its ratio to the floor, must be. A `promise` that is broken fails the run; a missed
    speed is reported, for it may be the machine's fault."""

    bound: Literal["at least", "at most"]
    limit: float
    of: Literal["value", "ratio"] = "value"
    promise: bool = False

    def met(self, value: float) -> bool:
        return value >= self.limit if self.bound == "at least" else value <= self.limit

    def __str__(self) -> str:
        sign = ">=" if self.bound == "at least" else "<="
        return f"{sign} {self.limit:g}{'x' if self.of == 'ratio' else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`runs` are the single measurements that `value` sums up. `floor`: the same work by raw drivers, or for
    latency under load the idle one; `ratio`: ours to that."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    runs: list[float] = field(default_factory=list)
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target was; None without one."""
        if self.target is None:
            return None
        measured = self.value if self.target.of == "value" else self.ratio
        return measured is not None and self.target.met(measured)

    @property
    def broken(self) -> bool:
        return self.target is not None and self.target.promise and not self.met


@dataclass(frozen=True, slots=True)
class Result:
    """A scenario's figures, the one it is about first; `notes` say how they came about."""

    scenario: str
    figures: list[Figure]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        first, *others = ({**asdict(figure), "met": figure.met} for figure in self.figures)
        return {**first, "more": others, "notes": self.notes}

    @classmethod
    def from_json(cls, scenario: str, read: dict[str, Any]) -> Result:
        figures = [{key: value for key, value in read.items() if key not in ("more", "notes")}, *read["more"]]
        return cls(scenario, [_figure(figure) for figure in figures], read["notes"])


def _figure(read: dict[str, Any]) -> Figure:
    values = {key: value for key, value in read.items() if key != "met"}
    return Figure(**{**values, "target": values["target"] and Target(**values["target"])})


def against(name: str, ours: Sequence[float], floor: Sequence[float], unit: str, target: Target) -> Figure:
    """The median of our runs against the median of the floor's, which were taken in turn with ours."""
    value, least = median(ours), median(floor)
    return Figure(name=name, value=value, unit=unit, floor=least, ratio=value / least, runs=list(ours), target=target)


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that so many percent do not exceed (nearest rank): always one that occurred."""
    ordered = sorted(samples)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]
