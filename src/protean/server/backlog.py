"""Production's backlog as backfill sees it from another machine, where no memory is shared."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from protean.deliver.gate import GateSlot, LaneGate
from protean.exceptions import BrokerError
from protean.ports.broker import Inspection

logger = logging.getLogger(__name__)

#: Seconds between looks; while production has a backlog, the shorter, so that backfill goes on promptly.
LOOK_INTERVAL, LOOK_INTERVAL_CLOSED = 0.25, 0.02
#: While backfill has nothing to do, or a stream nothing on it that seldom has, one look in so many. More spares the
#: broker, and what is known when there is something to do is older.
SELDOM = 4


def _never(_group: str) -> bool:
    return False


class BacklogWatch:
    """Closes `slot` of the lane gate while the primary groups have a backlog that a second look confirms.

    One message on its way is no backlog: the shared memory answers for that on the same machine. `quiet` are groups
    that seldom have any. What a `paused` group leaves is none either: nobody works on it.
    """

    def __init__(
        self,
        inspection: Inspection,
        gate: LaneGate,
        slot: GateSlot,
        groups: Sequence[tuple[str, str]],
        quiet: Sequence[tuple[str, str]] = (),
        *,
        paused: Callable[[str], bool] = _never,
    ) -> None:
        self._inspection = inspection
        self._gate = gate
        self._slot = slot
        self._groups = list(groups)
        self._quiet = list(quiet)
        self._paused = paused
        self._before = 0
        self._quiet_before = 0
        self._skipped = 0

    def run(self, stopping: threading.Event) -> None:
        """Watch until `stopping` is set. While nobody answers, the gate is open: there is nothing to yield to."""
        while not stopping.wait(LOOK_INTERVAL_CLOSED if self._before else LOOK_INTERVAL):
            self.look()
        self._slot.open()

    def look(self) -> None:
        """Look, unless that can be left for later; close the slot, or open it."""
        self._skipped = (self._skipped + 1) % SELDOM
        wanted, self._gate.wanted = self._gate.wanted, False
        if self._skipped and not wanted and not self._before:
            return
        usual = [each for each in self._groups if not self._paused(each[1])]
        groups = usual
        if self._quiet_before or not self._skipped:
            groups = [*usual, *(each for each in self._quiet if not self._paused(each[1]))]
        try:
            backlog = self._inspection.backlog(groups)
        except BrokerError as error:
            logger.debug("Production's backlog is unknown: %s", error)
            backlog = []
        now = sum(backlog)
        if groups is not usual:
            self._quiet_before = sum(backlog[len(usual) :])
        if now and self._before:
            self._slot.close()
        else:
            self._slot.open()
        self._before = now
