"""Which lane a message takes, and what that lane's stream is called."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from protean.ports.outbox import Claim

#: What may follow a category's `:` beside a lane's suffix: dead letters, asynchronous commands, published events.
OTHER_STREAMS = ("dlq", "command", "published")


class Lane(StrEnum):
    PRIMARY = "primary"
    BACKFILL = "backfill"


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes of a domain. Not enabled, everything is production's."""

    enabled: bool = False
    threshold: int = 0
    backfill_suffix: str = "backfill"
    stream_prefix: str = ""

    @property
    def in_use(self) -> tuple[Lane, ...]:
        return (Lane.PRIMARY, Lane.BACKFILL) if self.enabled else (Lane.PRIMARY,)

    def lane_of(self, priority: int) -> Lane:
        return Lane.BACKFILL if self.enabled and priority < self.threshold else Lane.PRIMARY

    def stream(self, category: str, lane: Lane) -> str:
        """`customer` or `customer:backfill`, with the prefix of a broker shared by several domains."""
        stream = f"{self.stream_prefix}{category}"
        return f"{stream}:{self.backfill_suffix}" if lane is Lane.BACKFILL else stream

    def stream_of(self, category: str, priority: int) -> str:
        """The stream that a message of that category and priority takes."""
        return self.stream(category, self.lane_of(priority))

    def claim(self, broker: str, lane: Lane) -> Claim:
        """The outbox rows that the relay of this lane takes."""
        if not self.enabled:
            return Claim(broker, lane)
        if lane is Lane.BACKFILL:
            return Claim(broker, lane, below=self.threshold)
        return Claim(broker, lane, at_least=self.threshold)


def published_stream(prefix: str, category: str) -> str:
    """Where others read the published events of a category: `customer:published`."""
    return f"{prefix}{category}:published"


def dead_letter_stream(stream: str) -> str:
    return f"{stream}:dlq"
