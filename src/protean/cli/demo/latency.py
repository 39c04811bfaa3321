"""Percentiles of what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Summary:
    """Milliseconds. All but `n` are None where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    n: int


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the sorted values that at least `share` of them do not exceed (nearest rank).

    Never between two values: each was really seen.
    """
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def summarise(milliseconds: Sequence[float]) -> Summary:
    if not milliseconds:
        return Summary(None, None, None, None, 0)
    ordered = sorted(milliseconds)
    p50, p95, p99 = (round(percentile(ordered, share), 1) for share in (0.50, 0.95, 0.99))
    return Summary(p50, p95, p99, round(ordered[-1], 1), len(ordered))
