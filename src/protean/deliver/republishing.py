"""Publishing again by hand what handlers have not handled since a given moment, whatever floors say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from protean.ports.recovery import Interest, Republishing

#: Messages of the log in one transaction. More is faster, and holds the new rows back for longer.
STEP = 5_000

Progress = Callable[[int, int], None]


class Republisher:
    """Looks at the log of one database from `since` on, for these handlers.

    `progress` is told how far it has come in the log, and how far that goes.
    """

    def __init__(self, republishing: Republishing, interests: Sequence[Interest], since: datetime) -> None:
        self._republishing = republishing
        self._interests = interests
        self._since = since

    def count(self, progress: Progress) -> dict[str, int]:
        """How many messages each handler has not handled and would get again, by its name; also 0."""
        found = {interest.handler: 0 for interest in self._interests}
        for after, upto in self._windows(progress):
            for interest in self._interests:
                found[interest.handler] += self._republishing.count(interest, self._since, after, upto)
        return found

    def publish(self, broker: str, progress: Progress) -> int:
        """Give them new outbox rows for that broker; how many messages it were, each once for all handlers.

        What is published while this runs is a relay's. Called again, it adds nothing to what is still on its way.
        """
        return sum(
            self._republishing.republish(broker, self._interests, self._since, after, upto)
            for after, upto in self._windows(progress)
        )

    def _windows(self, progress: Progress) -> Iterator[tuple[int, int]]:
        """The log in parts, up to where it ends now: what comes later is on its way by itself."""
        after = self._republishing.position_at(self._since)
        first, end = after, self._republishing.head()
        while after < end:
            upto = min(self._republishing.window(after, STEP), end)
            if upto <= after:
                break
            yield after, upto
            after = upto
            progress(after - first, end - first)
