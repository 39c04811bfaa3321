"""When the read model shows what a request did.

Asking the API would load the process under test and count its time; a trigger or a notification would change
the database under test. So the projection's rows are read by primary key, all that are awaited in one statement
over one idle connection, and only while something is awaited: some 5 % of a core at 20 requests a second.

Looking begins with the answer, which comes right after the commit. The time that counts is taken after a read, so
a figure is too long by up to one pause and one read, and never too short.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from protean.cli.demo.samples import Sample

Shown = Callable[[Collection[str]], Iterable[Mapping[str, Any]]]
Seen = Callable[[Sample, float | None], None]

#: Seconds after which a request counts as lost.
PATIENCE = 30.0


def pause(waited: float) -> float:
    """Seconds until the next look, by how long the newest has been awaited: precise when that can matter."""
    if waited < 0.1:
        return 0.001
    return 0.005 if waited < 1 else 0.05


class Watch:
    """Awaits requests on a thread of its own; `seen` is told each, with the time it was visible, or None."""

    def __init__(self, shown: Shown, seen: Seen, clock: Callable[[], float] = time.time) -> None:
        self._shown = shown
        self._seen = seen
        self._clock = clock
        self._awaited: dict[str, Sample] = {}
        self._changed = threading.Condition()
        self._closing = False

    def expect(self, sample: Sample) -> None:
        """Look for it from now on. One request of a customer at a time."""
        with self._changed:
            self._awaited[sample.customer_id] = sample
            self._changed.notify_all()

    def close(self) -> None:
        """`run` returns once nothing is awaited any more."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def run(self) -> None:
        while awaited := self._next():
            self.look(awaited)
            newest = max(sample.answered or 0.0 for sample in awaited)
            time.sleep(pause(self._clock() - newest))

    def look(self, awaited: Collection[Sample]) -> None:
        """Look once for these."""
        names = {row["customer_id"]: row["name"] for row in self._shown([sample.customer_id for sample in awaited])}
        now = self._clock()
        for sample in awaited:
            if names.get(sample.customer_id) == sample.name:
                self._done(sample, now)
            elif now - sample.scheduled > PATIENCE:
                self._done(sample, None)

    def _next(self) -> list[Sample]:
        """What is awaited, as soon as there is something; nothing when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._awaited or self._closing)
            return list(self._awaited.values())

    def _done(self, sample: Sample, visible: float | None) -> None:
        with self._changed:
            del self._awaited[sample.customer_id]
        self._seen(sample, visible)
