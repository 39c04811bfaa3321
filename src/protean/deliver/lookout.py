"""Noticing that a broker has lost something, also when nothing is published: by what it has counted."""

from __future__ import annotations

import logging
import threading

from protean.deliver.reconciling import Reconciler
from protean.exceptions import BrokerError, DatabaseError
from protean.ports.broker import Tallies
from protean.ports.recovery import LaneLedger, LaneState
from protean.rounds import Rounds

logger = logging.getLogger(__name__)

#: Seconds between looks. Shorter notices sooner and asks both servers more.
LOOK_INTERVAL = 2.0
#: Seconds between noticing a loss and making it good: all who have met it have said so by then.
SETTLE = 0.5


class Lookout:
    """Compares the counts of the broker called `name` with one database's, and has losses made good."""

    def __init__(self, ledger: LaneLedger, broker: Tallies, name: str, reconciler: Reconciler) -> None:
        self._ledger = ledger
        self._broker = broker
        self._name = name
        self._reconciler = reconciler
        self._blind = False
        self._lost = False
        self.rounds = Rounds()

    def run(self, stopping: threading.Event) -> None:
        """Look until `stopping` is set. While a server is away there is nothing to see."""
        while not stopping.wait(LOOK_INTERVAL):
            self._lost = False
            try:
                self.look(stopping)
            except (BrokerError, DatabaseError) as error:
                self.rounds.failed(error)
                if not self._blind and self._lost:
                    logger.warning("What the broker %s has lost is made good later: %s", self._name, error)
                elif not self._blind:
                    logger.warning("Whether the broker %s is complete is not known now: %s", self._name, error)
                self._blind = True
            else:
                self.rounds.done("something was lost" if self._lost else "nothing was lost")
                self._blind = False

    def look(self, stopping: threading.Event) -> bool:
        """Look once; whether something was lost. Raises BrokerError and DatabaseError."""
        lanes = self._ledger.lanes(self._name)
        self._lost = any(state.lost_at is not None for state in lanes)
        for state in self._behind([state for state in lanes if state.lost_at is None]):
            why = f"it counts fewer batches of the {state.lane} lane than the {state.published} it was given"
            self._ledger.lose(self._name, state.lane, why, state.epoch)
            self._lost = True
        if self._lost and not stopping.wait(SETTLE):
            self._reconciler.reconcile(stopping)
        return self._lost

    def _behind(self, lanes: list[LaneState]) -> list[LaneState]:
        """Lanes of which the broker has counted less than was known before it was asked."""
        known = [state for state in lanes if state.published]
        if not known:
            return []
        counts = self._broker.tallies([state.tally.key for state in known])
        return [state for state, count in zip(known, counts, strict=True) if count < state.published]
