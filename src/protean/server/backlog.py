"""Production's backlog as backfill sees it from another machine, where no memory is shared."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from protean.deliver.gate import GateSlot
from protean.exceptions import BrokerError
from protean.ports.broker import Inspection

logger = logging.getLogger(__name__)

#: Seconds between looks; while production has a backlog, the shorter, so that backfill goes on promptly.
LOOK_INTERVAL, LOOK_INTERVAL_CLOSED = 0.25, 0.02


def _never(_group: str) -> bool:
    return False


class BacklogWatch:
    """Closes `slot` of the lane gate while the primary groups have a backlog that a second look confirms.

    One message on its way is no backlog: the shared memory answers for that on the same machine. What a `paused` group
    leaves is none either: nobody works on it.
    """

    def __init__(
        self,
        inspection: Inspection,
        groups: Sequence[tuple[str, str]],
        slot: GateSlot,
        paused: Callable[[str], bool] = _never,
    ) -> None:
        self._inspection = inspection
        self._groups = groups
        self._slot = slot
        self._paused = paused

    def run(self, stopping: threading.Event) -> None:
        """Watch until `stopping` is set. While nobody answers, the gate is open: there is nothing to yield to."""
        before = 0
        while not stopping.wait(LOOK_INTERVAL_CLOSED if before else LOOK_INTERVAL):
            try:
                now = sum(self._inspection.backlog([each for each in self._groups if not self._paused(each[1])]))
            except BrokerError as error:
                logger.debug("Production's backlog is unknown: %s", error)
                now = 0
            if now and before:
                self._slot.close()
            else:
                self._slot.open()
            before = now
        self._slot.open()
