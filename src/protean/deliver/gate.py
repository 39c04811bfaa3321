"""The lane gate: while production has work in hand, backfill yields before each message.

A few bytes of memory, one per thread that serves a primary lane, shared by the processes of one server. Asking
costs no I/O, so it can be asked before every message.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from mmap import mmap

#: How many primary threads of one server can be told apart; more share slots, which only closes the gate longer.
SLOTS = 4096
#: Seconds between looks at a closed gate, doubling from the first to the last. Shorter burns the core that
#: production is using.
LOOK_FIRST, LOOK_LAST = 0.0005, 0.008
#: Seconds of handler time in a transaction beside production that was at work within so many seconds.
SHORT_WORK, CLOSED_LATELY = 0.003, 1.0
#: Seconds over which backfill's share is accounted; what happened earlier fades.
SHARE_WINDOW = 10.0


class GateSlot:
    """One primary thread's word on whether it has work."""

    __slots__ = ("_index", "_memory")

    def __init__(self, memory: mmap, index: int) -> None:
        self._memory = memory
        self._index = index % SLOTS

    def close(self) -> None:
        self._memory[self._index] = 1

    def open(self) -> None:
        self._memory[self._index] = 0


class LaneGate:
    """The gate over `memory`, which must have `SLOTS` bytes."""

    def __init__(self, memory: mmap | None = None) -> None:
        self._memory = memory if memory is not None else mmap(-1, SLOTS)
        #: Whether somebody in this process has wanted to pass; whoever acts on it takes it back.
        self.wanted = False

    def slot(self, index: int) -> GateSlot:
        return GateSlot(self._memory, index)

    def clear(self, slots: range) -> None:
        """Open the slots of a process that is gone, so that it does not keep backfill waiting for ever."""
        for index in slots:
            self.slot(index).open()

    @property
    def closed(self) -> bool:
        return self._memory.find(b"\x01") != -1


class Passage:
    """Backfill's way through the gate: strict, or with a guaranteed share of the time.

    `min_share` is the fraction of the time, 0.0 to 1.0, that backfill may work although the gate is closed.
    """

    def __init__(self, gate: LaneGate, min_share: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._gate = gate
        self._min_share = min_share
        self._clock = clock
        self._worked = 0.0
        self._waited = 0.0
        self._was_closed = False
        self._closed_at = -CLOSED_LATELY

    def wait(self, stopping: threading.Event) -> None:
        """Return when backfill may handle a message, or when `stopping` is set."""
        self._gate.wanted = True
        self._was_closed = self._gate.closed
        if not self._was_closed:
            return
        began, pause = self._clock(), LOOK_FIRST
        while not stopping.is_set() and self._gate.closed:
            if self._owed(self._clock() - began):
                break
            time.sleep(pause)
            pause = min(pause * 2, LOOK_LAST)
        self._closed_at = self._clock()
        self._waited += self._closed_at - began
        self._fade()

    def worked(self, seconds: float) -> None:
        """Tell how long backfill has just worked. Only work past a closed gate is taken from the share."""
        if self._was_closed:
            self._worked += seconds
            self._fade()

    def may_go_on(self, working: float) -> bool:
        """Whether another message may join a transaction that has lasted `working` seconds."""
        return not self._gate.closed and not (self.closed_lately and working > SHORT_WORK)

    @property
    def closed_lately(self) -> bool:
        """Whether production was at work within the last second: its next event will come soon."""
        return self._clock() - self._closed_at < CLOSED_LATELY

    def _owed(self, waiting: float) -> bool:
        total = self._worked + self._waited + waiting
        return self._min_share > 0 and self._worked < self._min_share * total

    def _fade(self) -> None:
        total = self._worked + self._waited
        if total > SHARE_WINDOW:
            self._worked *= SHARE_WINDOW / total
            self._waited *= SHARE_WINDOW / total
