"""Distributions of durations that can be added up: over threads, processes, machines and minutes."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log2
from typing import Any

#: Everything up to here, in seconds, is one bucket: below, clocks tell nothing.
SHORTEST = 0.0001
#: Everything above is one bucket, too.
LONGEST = 3_600.0
#: Buckets per doubling: a quantile is known to within 9 %.
RESOLUTION = 8

_LAST = ceil(log2(LONGEST / SHORTEST) * RESOLUTION)


class Histogram:
    """Counts of durations in seconds, in buckets that grow by a ninth. Takes memory only for buckets that have a count.

    Not safe for several threads at a time.
    """

    __slots__ = ("_counts", "count", "largest", "total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self.largest = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """Count a duration. A negative one, from clocks that disagree, counts as none at all."""
        bucket = _bucket_of(seconds)
        self._counts[bucket] = self._counts.get(bucket, 0) + times
        self.count += times
        self.total += max(seconds, 0.0) * times
        self.largest = max(self.largest, seconds)

    def merge(self, other: Histogram) -> None:
        """Add everything that `other` has counted."""
        for bucket, times in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + times
        self.count += other.count
        self.total += other.total
        self.largest = max(self.largest, other.largest)

    def quantile(self, share: float) -> float | None:
        """The duration that `share` (0 to 1) of all are not above, in seconds; None when there is nothing."""
        if not self.count:
            return None
        wanted, below = share * self.count, 0
        for bucket in sorted(self._counts):
            times = self._counts[bucket]
            if below + times >= wanted:
                low, high = _bounds(bucket)
                inside = low + (high - low) * max(wanted - below, 0.0) / times
                return min(inside, self.largest)
            below += times
        return self.largest

    def cumulative(self, bounds: tuple[float, ...]) -> list[int]:
        """How many were not above each of these durations, which ascend: what Prometheus calls buckets.

        A bucket of ours that straddles a bound counts above it.
        """
        totals = [0] * len(bounds)
        for bucket, times in self._counts.items():
            high = _bounds(bucket)[1]
            for number, bound in enumerate(bounds):
                if high <= bound * 1.000001:  # bounds on our own edges are met exactly, but for the last bit
                    totals[number] += times
        return totals

    def to_plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        counts = {str(bucket): times for bucket, times in sorted(self._counts.items())}
        return {"counts": counts, "total": self.total, "largest": self.largest}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Histogram:
        """What `to_plain` gave. Raises ValueError, KeyError, TypeError or AttributeError for anything else."""
        read = cls()
        read._counts = {int(bucket): int(times) for bucket, times in plain["counts"].items()}
        if any(not 0 <= bucket <= _LAST or times < 0 for bucket, times in read._counts.items()):
            raise ValueError("a histogram has no such bucket")
        read.count = sum(read._counts.values())
        read.total, read.largest = float(plain["total"]), float(plain["largest"])
        return read


def _bucket_of(seconds: float) -> int:
    if seconds <= SHORTEST:
        return 0
    return min(ceil(log2(seconds / SHORTEST) * RESOLUTION), _LAST)


def _bounds(bucket: int) -> tuple[float, float]:
    """Above what, and up to what, a bucket counts, in seconds."""
    if bucket == 0:
        return 0.0, SHORTEST
    return SHORTEST * 2.0 ** ((bucket - 1) / RESOLUTION), SHORTEST * 2.0 ** (bucket / RESOLUTION)
