"""Asking the databases now and then whether they answer, so that health can be told without asking then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from protean.exceptions import ProteanError

#: Seconds between questions. Shorter notices sooner and costs statements while idle.
ASK_INTERVAL = 3.0
#: Seconds that the last answer counts for.
ANSWER_LASTS = 10.0


class Probe:
    """`ask` raises ProteanError when the server does not answer."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._answered_at = time.monotonic()
        self._complaint: str | None = None

    @property
    def complaint(self) -> str | None:
        """What is wrong; None if it answered lately."""
        silence = time.monotonic() - self._answered_at
        if self._complaint is None and silence > ANSWER_LASTS:
            return f"has not answered for {silence:.0f} s"
        return self._complaint

    def run(self, stopping: threading.Event) -> None:
        """Ask until `stopping` is set."""
        while not stopping.wait(ASK_INTERVAL):
            self.look()

    def look(self) -> None:
        """Ask once."""
        try:
            self._ask()
        except ProteanError as error:
            self._complaint = str(error)
        else:
            self._answered_at, self._complaint = time.monotonic(), None
