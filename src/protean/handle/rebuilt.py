"""What is told of the rebuild of a projection: while it goes on, and at its end."""

from __future__ import annotations

from dataclasses import dataclass

#: Messages of one transaction of a rebuild. More is faster, holds more memory, and lets a failure undo more.
BATCH = 500


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """`done` of `total` messages are looked at after so many `seconds`. `exchanging`: it is about to end."""

    projection: str
    done: int
    total: int
    seconds: float
    exchanging: bool = False

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds that are left at this rate; None while there is none."""
        return max(self.total - self.done, 0) / self.rate if self.rate else None


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild has done: `messages` of the log looked at, projectors `applied` times, `rows` that came out.

    `held`: streams in which a projector has failed, and which stay blocked. `left_over`: the table that an earlier
    rebuild, which died, had left, and which is gone.
    """

    projection: str
    messages: int
    applied: int
    rows: int
    held: int
    seconds: float
    left_over: str | None = None
