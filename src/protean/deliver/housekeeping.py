"""Forgetting what was published long enough ago: in small transactions, so that nobody waits for the broom."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from protean.clock import utc_now
from protean.exceptions import DatabaseError
from protean.ports.outbox import Outbox

logger = logging.getLogger(__name__)

#: Seconds between sweeps.
SWEEP_INTERVAL = 60.0
#: Rows in one transaction. More sweeps faster and holds its locks longer.
BATCH = 5_000
#: Seconds of rest between the transactions of one sweep.
REST = 0.1


class Housekeeping:
    """Prunes the published rows of an outbox that are older than `retention`."""

    def __init__(self, outbox: Outbox, retention: timedelta) -> None:
        self._outbox = outbox
        self._retention = retention

    def run(self, stopping: threading.Event) -> None:
        """Sweep now and then until `stopping` is set."""
        while not stopping.wait(SWEEP_INTERVAL):
            try:
                pruned = self.sweep(stopping)
            except DatabaseError as error:
                logger.warning("Published outbox rows stay for now: %s", error)
            else:
                if pruned:
                    logger.info("Pruned %d published outbox rows", pruned)

    def sweep(self, stopping: threading.Event) -> int:
        """Prune all there is to prune, batch by batch; how many rows."""
        total = 0
        while not stopping.is_set():
            pruned = self._outbox.prune(utc_now() - self._retention, BATCH)
            total += pruned
            if pruned < BATCH:
                break
            stopping.wait(REST)
        return total
