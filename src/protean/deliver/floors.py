"""Raising handlers' floors, and finding what can no longer come: the audit that every kind of loss ends in.

A message that was published, is on no stream, pending with nobody, and still not handled, is lost: whoever trimmed,
acknowledged or deleted it. Nothing is guessed from times. It was published before the streams were looked at, and not
handled afterwards; in between they were empty for this handler.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from protean.ports.recovery import Advance, Floors, Interest, Standing

logger = logging.getLogger(__name__)

#: Messages looked at in one transaction. More raises a floor faster and takes longer, some 0.1 s at this size.
STEP = 20_000
#: Seconds of rest between two steps.
REST = 0.05
#: How often the same message is published again before it is left to people: there is something wrong with it.
REPEATS = 3

Backlog = Callable[[Interest], int]


class FloorKeeper:
    """Raises the floors of one database's handlers.

    `backlog` counts what is unread or pending for a handler, on all lanes. `missing` is told why, when a message is
    found to be lost; `known_loss` whether that is known already and being made good.
    """

    def __init__(
        self,
        floors: Floors,
        database: str,
        interests: Sequence[Interest],
        *,
        backlog: Backlog,
        missing: Callable[[str], None],
        known_loss: Callable[[], bool],
    ) -> None:
        self._floors = floors
        self._database = database
        self._interests = interests
        self._backlog = backlog
        self._missing = missing
        self._known_loss = known_loss
        self._repeats: dict[tuple[str, int], int] = {}

    def raise_floors(self, stopping: threading.Event) -> int:
        """Raise every floor as far as it goes; by how many global positions all together.

        Registers what is not registered (its table may have been emptied). Raises DatabaseError and BrokerError.
        """
        if not self._interests:
            return 0
        self._floors.register(self._database, self._interests)
        settled, raised = self._floors.settle(), 0
        by_name = {interest.handler: interest for interest in self._interests}
        for standing in self._floors.standings():
            interest = by_name.get(standing.handler)
            if interest is not None and set(standing.types) & set(interest.types) and not stopping.is_set():
                raised += self._raise(interest, standing, settled, stopping) - standing.floor
        return raised

    def _raise(self, interest: Interest, standing: Standing, settled: int, stopping: threading.Event) -> int:
        """Where the floor is afterwards."""
        reached = self._climb(interest, standing, settled, stopping)
        if reached.stuck_at is None or reached.unpublished or self._known_loss() or self._backlog(interest):
            return reached.floor
        above = replace(standing, floor=reached.floor)
        again = self._climb(interest, above, settled, stopping, drained=True)
        if again.stuck_at == reached.stuck_at and not again.unpublished:
            self._report(interest, reached.stuck_at)
        return again.floor

    def _climb(
        self, interest: Interest, standing: Standing, settled: int, stopping: threading.Event, *, drained: bool = False
    ) -> Advance:
        """Step by step up to what is not handled, or until another process is found to do the same."""
        while True:
            step = self._floors.advance(interest, standing, settled, STEP, drained=drained)
            if step is None:
                return Advance(standing.floor)
            if not step.more or stopping.wait(REST):
                return step
            standing = replace(standing, floor=step.floor)

    def _report(self, interest: Interest, position: int) -> None:
        found = self._repeats[interest.handler, position] = self._repeats.get((interest.handler, position), 0) + 1
        if found <= REPEATS:
            self._missing(f"{interest.handler} has not handled the message at {position}, which is on no stream")
        elif found == REPEATS + 1:
            logger.error(
                "%s does not handle the message at global position %d, though it was published %d times more; nothing "
                "above it leaves the inbox. See whether `protean dlq list --state all` names it",
                interest.handler,
                position,
                REPEATS,
            )
