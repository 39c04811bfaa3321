"""When a failed message is tried again, and when it no longer is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_retries` after the first attempt; delays in seconds, doubling from `base_delay` up to `max_delay`.

    `jitter` spreads each delay by that fraction either way, so that what failed together does not come
    back together. `lenient`: failed attempts do not count, as those of a breaker's trial.
    """

    max_retries: int = 3
    base_delay: float = 1.0
    max_delay: float = 300.0
    jitter: float = 0.25
    lenient: bool = False

    @property
    def of_a_trial(self) -> RetryPolicy:
        """The same for messages that are tried on behalf of all."""
        return replace(self, lenient=True)

    def exhausted(self, attempts: int) -> bool:
        """Whether `attempts` failed attempts are all there may be."""
        return attempts > self.max_retries

    def delay(self, attempts: int, random: Callable[[], float] = random.random) -> float:
        """Seconds until the next attempt after `attempts` failed ones."""
        exponent = min(max(attempts, 1) - 1, 32)
        return self._spread(min(self.base_delay * 2.0**exponent, self.max_delay), random)

    def delay_of_waiting(self, waited: float, random: Callable[[], float] = random.random) -> float:
        """Seconds until the next look at what waits for something else and has done so for `waited` seconds.

        It doubles as well, without a count of attempts.
        """
        return self._spread(min(max(waited, self.base_delay), self.max_delay), random)

    def _spread(self, delay: float, random: Callable[[], float]) -> float:
        return delay * (1 + self.jitter * (2 * random() - 1))
