"""Bells within one process."""

from __future__ import annotations

from collections.abc import Callable, Collection
from logging import getLogger
from threading import Condition, Thread, current_thread

logger = getLogger(__name__)


class Listener:
    """Calls `woken` from a thread of its own. Rings that come while it is busy count as one."""

    def __init__(self, bells: Collection[str], woken: Callable[[str], None]) -> None:
        self._bells = frozenset(bells)
        self._woken = woken
        self._rung = dict.fromkeys(bells)  # As after any connecting, every bell counts as rung.
        self._stopped = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="protean-doorbell", daemon=True)
        self._thread.start()

    def ring(self, bell: str) -> None:
        with self._changed:
            if bell in self._bells:
                self._rung[bell] = None
                self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not current_thread():
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._rung or self._stopped)
                if self._stopped:
                    return
                rung, self._rung = self._rung, {}
            for bell in rung:
                self._wake(bell)

    def _wake(self, bell: str) -> None:
        try:
            self._woken(bell)
        except Exception:  # a listener that died of one failed wake-up would never be woken again
            logger.exception("What the bell %r woke failed", bell)
