"""What handlers have taken, minute by minute, as the engines have left it with the broker."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from protean.histogram import Histogram
from protean.ports.observation import Observation

logger = logging.getLogger(__name__)

#: Minutes that are held here. The broker keeps them for longer: see `[observatory] history`.
HELD = 180
#: The last minutes, which engines may still be writing, and which are read anew each time.
OPEN = 2


@dataclass(frozen=True, slots=True)
class Recorded:
    """One handler on one stream in one minute (since the epoch). `latency`: from the outbox to the handler's end."""

    minute: int
    stream: str
    handler: str
    latency: Histogram
    handling: Histogram


@dataclass(frozen=True, slots=True)
class Percentiles:
    """In seconds, of `count` messages."""

    count: int
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, histogram: Histogram) -> Percentiles | None:
        """None of nothing."""
        p50, p95, p99 = (histogram.quantile(share) for share in (0.5, 0.95, 0.99))
        if p50 is None or p95 is None or p99 is None:
            return None
        return cls(histogram.count, p50, p95, p99)


class History:
    """The last `HELD` minutes. What is over is read once."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation
        self._minutes: dict[int, tuple[Recorded, ...]] = {}
        self._read_to = 0

    def refresh(self) -> None:
        """Read what is new. Raises BrokerError."""
        now = int(time.time() // 60)
        first = max(self._read_to - OPEN + 1, now - HELD + 1)
        found = self._observation.read_minutes(range(first, now + 1))
        for minute in range(first, now + 1):
            self._minutes[minute] = tuple(_recorded(minute, found.get(minute, ())))
        for minute in [minute for minute in self._minutes if minute <= now - HELD]:
            del self._minutes[minute]
        self._read_to = now

    def of(self, minutes: Iterable[int]) -> Iterator[Recorded]:
        """What was recorded in these minutes."""
        for minute in minutes:
            yield from self._minutes.get(minute, ())


def merged(recorded: Iterable[Recorded]) -> Histogram:
    """All latencies together."""
    histogram = Histogram()
    for each in recorded:
        histogram.merge(each.latency)
    return histogram


def _recorded(minute: int, texts: Iterable[bytes]) -> Iterator[Recorded]:
    """What processes have put down. What is no such text, from another release perhaps, is left out, and said."""
    for text in texts:
        try:
            told: list[dict[str, Any]] = from_json(text)
            yield from [
                Recorded(
                    minute,
                    str(each["stream"]),
                    str(each["handler"]),
                    Histogram.from_plain(each["latency"]),
                    Histogram.from_plain(each["handling"]),
                )
                for each in told
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("What a process has told of minute %d cannot be read: %s", minute, type(error).__name__)
