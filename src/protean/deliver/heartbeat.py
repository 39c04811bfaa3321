"""The sign of life of this process's consumer, from a thread that does nothing else."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from protean.exceptions import BrokerError
from protean.ports.broker import Presence

logger = logging.getLogger(__name__)

#: Seconds between beats, and until a consumer without one counts as dead. Shorter recovers sooner and
#: takes a process that hangs for a moment for a dead one.
BEAT_INTERVAL = 1.0
BEAT_EXPIRY = 5.0


@dataclass(frozen=True, slots=True)
class Sign:
    """What a beat says: whose handlers the process runs, and on which lanes."""

    domain: str
    lanes: tuple[str, ...]

    def to_text(self) -> str:
        return json.dumps({"domain": self.domain, "lanes": self.lanes})

    @classmethod
    def from_text(cls, text: str) -> Sign | None:
        """None for what no engine of this framework says: somebody else may beat there, too."""
        try:
            said = json.loads(text)
            return cls(str(said["domain"]), tuple(str(lane) for lane in said["lanes"]))
        except (ValueError, TypeError, KeyError):
            return None


class Heartbeat:
    """`lapsed` is told, after a beat that came too late, for how many seconds there had been none.

    Meanwhile others may have taken over what this process had in hand, and ended its database sessions.
    """

    def __init__(self, presence: Presence, consumer: str, sign: Sign, lapsed: Callable[[float], None]) -> None:
        self._presence = presence
        self._consumer = consumer
        self._sign = sign.to_text()
        self._lapsed = lapsed
        self._heard_at: float | None = None
        self._complaint: str | None = None

    @property
    def heard(self) -> bool:
        """Whether others can know that this process lives, as far as it knows itself."""
        return self._heard_at is not None and time.monotonic() - self._heard_at < BEAT_EXPIRY

    @property
    def complaint(self) -> str | None:
        """Why the last beat was not heard; None if it was."""
        return self._complaint

    def beat(self) -> None:
        """Beat once, if the broker lets us: one that is full refuses a first beat, and must be emptied all the same."""
        now = time.monotonic()
        try:
            lived_on = self._presence.beat(self._consumer, BEAT_EXPIRY, self._sign)
        except BrokerError as error:
            if self._complaint is None:
                logger.warning("The heartbeat of %s is not heard: %s", self._consumer, error)
            self._complaint = str(error)
            return
        if self._complaint is not None:
            logger.info("The heartbeat of %s is heard", self._consumer)
        before, self._heard_at, self._complaint = self._heard_at, now, None
        if before is not None and not lived_on:
            self._lapsed(now - before)

    def run(self, stopping: threading.Event) -> None:
        """Beat until `stopping` is set. While the broker is away nobody can hear, or take over, anything."""
        while not stopping.wait(BEAT_INTERVAL):
            self.beat()
