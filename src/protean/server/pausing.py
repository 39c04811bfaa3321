"""Which lanes rest because somebody has said so: looked up once a second for the whole process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from protean.clock import utc_now
from protean.exceptions import DatabaseError
from protean.ports.control import Pause
from protean.ports.database import Transaction
from protean.rounds import Rounds
from protean.wording import counted

logger = logging.getLogger(__name__)

#: Seconds between looks: how late a pause, or its end, is heeded at most.
LOOK_INTERVAL = 1.0


class Pauses:
    """What was last known of them. A database that does not answer changes nothing."""

    def __init__(self, reading: Callable[[], AbstractContextManager[Transaction]]) -> None:
        self._reading = reading
        self._known: dict[tuple[str, str], Pause] = {}
        self.rounds = Rounds()

    def of(self, handler: str, lane: str) -> Pause | None:
        """The pause of that handler on that lane, if it is in force."""
        pause = self._known.get((handler, lane))
        return pause if pause is not None and pause.expires_at > utc_now() else None

    def run(self, stopping: threading.Event) -> None:
        """Look until `stopping` is set."""
        while not stopping.wait(LOOK_INTERVAL):
            try:
                self.look()
            except DatabaseError as error:
                self.rounds.failed(error)
            else:
                self.rounds.done(f"{counted(len(self._known), 'pause')}")

    def look(self) -> None:
        """Look once. Raises DatabaseError."""
        with self._reading() as transaction:
            found = {(pause.handler, pause.lane): pause for pause in transaction.control.pauses()}
        for key, pause in found.items():
            if key not in self._known and pause.expires_at > utc_now():
                logger.warning(
                    "[%s] is paused on the %s lane until %s by %s: %s",
                    pause.handler,
                    pause.lane,
                    f"{pause.expires_at:%Y-%m-%d %H:%M:%S} UTC",
                    pause.actor,
                    pause.reason,
                )
        for handler, lane in self._known.keys() - found.keys():
            logger.warning("[%s] goes on with the %s lane", handler, lane)
        self._known = found
