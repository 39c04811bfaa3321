"""When a failed message is tried again, and when it no longer is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_retries` after the first attempt; delays in seconds, doubling from `base_delay` up to `max_delay`.

    `jitter` spreads each delay by that fraction either way, so that what failed together does not come
    back together.
    """

    max_retries: int = 3
    base_delay: float = 1.0
    max_delay: float = 300.0
    jitter: float = 0.25

    def exhausted(self, attempts: int) -> bool:
        """Whether `attempts` failed attempts are all there may be."""
        return attempts > self.max_retries

    def delay(self, attempts: int, random: Callable[[], float] = random.random) -> float:
        """Seconds until the next attempt after `attempts` failed ones."""
        exponent = min(attempts - 1, 32)
        delay: float = min(self.base_delay * 2.0**exponent, self.max_delay)
        return delay * (1 + self.jitter * (2 * random() - 1))
