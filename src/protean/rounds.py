"""How the last round of a thread that works in rounds has ended, for those who ask whether all is well."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Round:
    """`result`: a few words, with nothing in them of a message or a row. `failures`: how many have failed in a row.

    `ended`, and `failing_since`, when the first of those failed, are on the clock of `time.monotonic()`.
    """

    ended: float
    result: str
    failures: int = 0
    failing_since: float | None = None


class Rounds:
    """Written by one thread, read by others. `last` is None until the first round has ended."""

    def __init__(self) -> None:
        self.last: Round | None = None

    def done(self, result: str) -> None:
        self.last = Round(time.monotonic(), result)

    def failed(self, error: Exception) -> None:
        """Only the kind of error is kept: its text, which the log has, may quote a row."""
        now, before = time.monotonic(), self.last
        failures = before.failures if before is not None else 0
        since = before.failing_since if before is not None and before.failing_since is not None else now
        self.last = Round(now, f"failed: {type(error).__name__}", failures + 1, since)
