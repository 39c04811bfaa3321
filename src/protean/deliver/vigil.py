"""Ending what the dead still hold, from a thread that waits for no handler.

A subscription ends a dead consumer's sessions before it takes over its entries. But a process that is frozen inside a
transaction holds the positions of its aggregates, and the next event of such an aggregate makes the subscription of
whoever is alive wait for exactly that lock: before it has looked who is gone, and for as long as the frozen one keeps
its connection. With one handler there is no other thread that would look.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from protean.exceptions import BrokerError, DatabaseError, GroupMissingError
from protean.ports.broker import Presence

logger = logging.getLogger(__name__)

#: Seconds between looks; it takes two to believe that somebody is gone. Shorter asks the broker more.
LOOK_INTERVAL = 2.0


class Vigil:
    """Watches the consumers of `groups`, pairs of stream and group; `bereave` ends a dead one's sessions.

    `heard` tells whether this process's own sign of life reaches the broker; otherwise others' absence proves nothing.
    """

    def __init__(
        self,
        presence: Presence,
        consumer: str,
        groups: Collection[tuple[str, str]],
        bereave: Callable[[str], None],
        heard: Callable[[], bool],
    ) -> None:
        self._presence = presence
        self._consumer = consumer
        self._groups = sorted(groups)
        self._bereave = bereave
        self._heard = heard
        self._absent: frozenset[str] = frozenset()

    def run(self, stopping: threading.Event) -> None:
        """Look until `stopping` is set. While a server is away nobody can be told dead, or ended."""
        while not stopping.wait(LOOK_INTERVAL):
            try:
                self.look()
            except (BrokerError, DatabaseError) as error:
                self._absent = frozenset()
                logger.debug("Who of the consumers is gone is unknown now: %s", error)

    def look(self) -> None:
        """Look once; end the sessions of who was gone at the last look as well. Raises BrokerError, DatabaseError."""
        if not self._heard():
            self._absent = frozenset()
            return
        absent = frozenset(name for where in self._groups for name in self._absent_from(*where))
        gone, self._absent = sorted(absent & self._absent), absent
        for dead in gone:
            self._bereave(dead)

    def _absent_from(self, stream: str, group: str) -> list[str]:
        try:
            return self._presence.absent(stream, group, asking=self._consumer)
        except GroupMissingError:
            return []  # its subscription makes it anew
