"""Watching handlers that do not return: first it is said, and where configured, the process is given up.

A thread cannot be ended from outside, a process can: its supervisor starts it again, what it had in hand is taken
over, and a message that ends several processes in a row is set aside as a failure.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping

from protean.handle import underway
from protean.handle.underway import Underway

logger = logging.getLogger(__name__)

#: Seconds between looks; with a short time limit, a quarter of that.
LOOK_INTERVAL = 1.0
#: Seconds after which a call that has not returned is told of; after the last of them, again and again.
TELL_AFTER, TELL_EVERY = (10.0, 60.0), 300.0
#: What the process ends with when a handler has exceeded `[server] handler_timeout`.
EXIT_CODE = 70


class Watchdog:
    """`threads` names the threads to watch by their numbers. `timeout`: seconds that a handler may take, 0 for ever.

    `give_up` ends the process, without waiting for any thread.
    """

    def __init__(
        self,
        threads: Callable[[], Mapping[int, str]],
        timeout: float = 0.0,
        give_up: Callable[[int], object] = os._exit,
    ) -> None:
        self._threads = threads
        self._timeout = timeout
        self._give_up = give_up
        self._told: dict[Underway, int] = {}

    def run(self, stopping: threading.Event) -> None:
        """Watch until `stopping` is set, which is when the grace period takes over."""
        interval = min(LOOK_INTERVAL, self._timeout / 4) if self._timeout else LOOK_INTERVAL
        while not stopping.wait(interval):
            self.look()

    def look(self) -> None:
        """Tell of what has taken too long, and give up the process if it is time."""
        now, threads = time.monotonic(), self._threads()
        calls = {thread: call for thread, call in underway.calls().items() if thread in threads}
        self._told = {call: times for call, times in self._told.items() if call in calls.values()}
        for thread, call in calls.items():
            seconds = now - call.since
            if self._timeout and seconds > self._timeout:
                self._tell(logging.CRITICAL, thread, call, f"longer than handler_timeout = {self._timeout:g} allows")
                self._end()
            elif seconds >= told_after(self._told.get(call, 0)):
                self._told[call] = self._told.get(call, 0) + 1
                self._tell(logging.WARNING, thread, call, "and has not returned")

    def _tell(self, level: int, thread: int, call: Underway, what: str) -> None:
        """One line, and the thread's stack: code only, nothing of the message."""
        name = self._threads().get(thread, "?")
        text = "[%s] has been handling the message %s for %.0f s, %s; the thread `%s` is here:"
        arguments = (call.handler, call.message_id, time.monotonic() - call.since, what, name)
        frame = sys._current_frames().get(thread)  # noqa: SLF001  # the only way to see another thread's stack
        stack = "".join(traceback.format_stack(frame)).rstrip() if frame is not None else None
        if logger.isEnabledFor(level):
            logger.handle(logger.makeRecord(logger.name, level, __file__, 0, text, arguments, None, sinfo=stack))

    def _end(self) -> None:
        logger.critical("This process ends itself (exit code %d): a thread cannot be ended, a process can", EXIT_CODE)
        try:
            for handler in logging.getLogger("protean").handlers:
                handler.flush()
        finally:  # a log that cannot be written must not keep a process that cannot work
            self._give_up(EXIT_CODE)


def told_after(times: int) -> float:
    """How many seconds a call must have lasted to be told of once more, after having been told of so many times."""
    if times < len(TELL_AFTER):
        return TELL_AFTER[times]
    return TELL_EVERY * (times - len(TELL_AFTER) + 1)
