"""Waking the relay right after a commit, without making the writer wait for a broker.

NOTIFY inside the write transaction costs most of the database's throughput; so the bell rings over the
broker, after the commit, from a thread of its own. Rings while one is on its way become one. A ring that is
lost costs the relay's poll interval, nothing else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence

from protean.exceptions import BrokerError
from protean.ports.broker import Doorbell, Publisher, Tally

logger = logging.getLogger(__name__)

#: Seconds without ringing after the broker did not answer: longer spares a broken network, shorter hears sooner.
PAUSE_AFTER_ERROR = 1.0


def bell_name(database: str, lane: str) -> str:
    return f"{database}:{lane}"


def stream_bell(stream: str) -> str:
    """Rung when something is published on a stream that nobody waits at."""
    return f"stream:{stream}"


class Announcing:
    """Publishes, and rings for those of `streams` that got something."""

    def __init__(self, publisher: Publisher, streams: Collection[str], ring: Callable[[str], None]) -> None:
        self._publisher = publisher
        self._streams = frozenset(streams)
        self._ring = ring

    def publish(self, entries: Sequence[tuple[str, bytes]], tally: Tally | None = None) -> int:
        """As the publisher does. What it does not answer for is found by a look."""
        count = self._publisher.publish(entries, tally)
        for stream in self._streams.intersection(stream for stream, _ in entries):
            self._ring(stream_bell(stream))
        return count


class Ringer:
    """Rings bells from a background thread that starts with the first ring and never holds up its caller."""

    def __init__(self, doorbell: Doorbell) -> None:
        self._doorbell = doorbell
        self._wanted: set[str] = set()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def ring(self, bell: str) -> None:
        """Ask for a ring and return at once."""
        with self._wake:
            if self._closed:
                return
            self._wanted.add(bell)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="protean-ringer", daemon=True)
                self._thread.start()
            self._wake.notify()

    def close(self) -> None:
        """Ring what is still wanted and end the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout=2.0)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._wanted and not self._closed:
                    self._wake.wait()
                if not self._wanted:
                    return
                bells, self._wanted = self._wanted, set()
            try:
                for bell in bells:
                    self._doorbell.ring(bell)
            except BrokerError as error:
                logger.debug("The doorbell did not ring, the relay's poll will find the rows: %s", error)
                with self._wake:
                    if self._closed:
                        return
                    self._wake.wait(PAUSE_AFTER_ERROR)
