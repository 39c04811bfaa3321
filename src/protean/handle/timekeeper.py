"""Telling processes that their timeouts are due: a message each in the process's own stream, written once.

From there on a timeout is handled like an event: in order, retried, a dead letter at last, replayed. The row and the
message change together, so a process that is killed in between has told of it or has not.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from protean.clock import utc_now
from protean.elements.handlers import HandlerSpec
from protean.exceptions import DatabaseError
from protean.handle.processes import process_stream
from protean.ports.timeouts import Timeout
from protean.rounds import Rounds
from protean.wording import counted
from protean.write.conflicts import repeating
from protean.write.context import ActiveDomain, active
from protean.write.messages import timeout_message
from protean.write.unit_of_work import UnitOfWork

logger = logging.getLogger(__name__)

#: Seconds between looks for what is due: timeouts are late by up to that.
LOOK_INTERVAL = 1.0
#: Timeouts told of in one transaction, which locks their processes. More is faster and lets more of them wait.
BATCH = 50


class Timekeeper:
    """Serves the processes of one database. Several engines may do it at once: each timeout is told of by one."""

    def __init__(self, domain: ActiveDomain, provider: str, processes: Sequence[HandlerSpec]) -> None:
        self._domain = domain
        self._provider = provider
        self._processes = {each.name: each for each in processes}
        self.rounds = Rounds()
        self._blind = False

    def run(self, stopping: threading.Event) -> None:
        """Tell of what is due until `stopping` is set."""
        while not stopping.wait(LOOK_INTERVAL):
            told = 0
            try:
                while not stopping.is_set() and (due := self.due(utc_now())):
                    self.tell(due)
                    told += len(due)
            except DatabaseError as error:
                self.rounds.failed(error)
                if not self._blind:
                    logger.warning("Timeouts of processes wait for the database %s: %s", self._provider, error)
                self._blind = True
            else:
                self.rounds.done(f"{counted(told, 'timeout')} told of")
                self._blind = False

    def due(self, until: datetime) -> list[Timeout]:
        """Up to `BATCH` timeouts that are due by then and not told of, the oldest first."""
        transaction = self._domain.database(self._provider).transaction()
        try:
            return transaction.timeouts.due(tuple(self._processes), until, BATCH)
        finally:
            transaction.rollback()

    def tell(self, due: Sequence[Timeout]) -> None:
        """Tell their processes; what was cancelled, set anew or told of meanwhile is left out."""
        by_process = sorted(due, key=attrgetter("process"))
        for name, timeouts in groupby(by_process, key=attrgetter("process")):
            self._tell(self._processes[name], list(timeouts))

    def _tell(self, spec: HandlerSpec, timeouts: Sequence[Timeout]) -> None:
        plan = spec.process
        if plan is None:
            return
        category = plan.cls.__protean__.stream_category
        streams = [process_stream(category, timeout.key) for timeout in timeouts]

        def once() -> None:
            with active(self._domain), UnitOfWork(self._domain) as unit:
                transaction = unit.transaction(self._provider)
                transaction.positions.lock(spec.name, streams)
                for timeout, stream in zip(timeouts, streams, strict=True):
                    message = timeout_message(plan.told_by, timeout, category, stream)
                    if transaction.timeouts.fire(timeout, message.id):
                        unit.send(self._provider, message)

        repeating(once)
