"""The sign of life of this process's consumer, from a thread that does nothing else."""

from __future__ import annotations

import logging
import threading

from protean.exceptions import BrokerError
from protean.ports.broker import Presence

logger = logging.getLogger(__name__)

#: Seconds between beats, and until a consumer without one counts as dead. Shorter recovers sooner and
#: takes a process that hangs for a moment for a dead one.
BEAT_INTERVAL = 1.0
BEAT_EXPIRY = 5.0


class Heartbeat:
    def __init__(self, presence: Presence, consumer: str) -> None:
        self._presence = presence
        self._consumer = consumer

    def beat(self) -> None:
        """Beat once. Raises BrokerError: a consumer must not read before it has been heard."""
        self._presence.beat(self._consumer, BEAT_EXPIRY)

    def run(self, stopping: threading.Event) -> None:
        """Beat until `stopping` is set. While the broker is away nobody can hear, or take over, anything."""
        silent = False
        while not stopping.wait(BEAT_INTERVAL):
            try:
                self.beat()
            except BrokerError as error:
                if not silent:
                    logger.warning("The heartbeat of %s is not heard: %s", self._consumer, error)
                silent = True
            else:
                silent = False
