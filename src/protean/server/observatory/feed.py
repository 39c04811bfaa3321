"""Traces, as they come, for any number of viewers: read once, handed to each through a queue that cannot grow."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from protean.exceptions import BrokerError
from protean.ports.observation import Observation
from protean.server.observatory.traces import Portion, Trace, Wanted, left_out_of, place_of, portions_of, traces_of

logger = logging.getLogger(__name__)

#: Seconds for which the engines are asked to tell each step, and between two askings.
WATCH, WATCH_INTERVAL = 10.0, 3.0
#: Longest wait for the next traces, in seconds; how late the end of the last viewer is noticed.
READ_BLOCK = 1.0
#: Traces that wait for one viewer. A slower one loses the oldest, and is told how many.
WAITING = 1_000
#: Batches read at a time; also how far back a viewer who comes again is brought up to date, at most.
BATCHES = 100
#: Seconds of rest after the broker did not answer.
BACKOFF = 1.0


@dataclass(frozen=True, slots=True)
class Handed:
    """What a viewer is told next: how many it has lost, then what came after those."""

    dropped: int
    portions: Sequence[Portion]


class Viewer:
    """One connection. Filled by the feed's thread, emptied by its own task of the event loop."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.loop = asyncio.get_running_loop()
        self.something = asyncio.Event()
        self.dropped = 0
        self._waiting: deque[Portion] = deque()
        self._count = 0
        self._lock = threading.Lock()

    def give(self, portion: Portion) -> None:
        """From any thread: these, instead of the oldest if need be."""
        with self._lock:
            self._waiting.append(portion)
            self._count += len(portion.traces)
            while self._count > WAITING:
                self._drop(self._count - WAITING)

    def miss(self, count: int) -> None:
        """From any thread: so many were left out before anybody could give them."""
        with self._lock:
            self.dropped += count

    async def handed(self) -> AsyncIterator[Handed]:
        """What has come since the last time, as soon as there is something."""
        while True:
            await self.something.wait()
            self.something.clear()
            with self._lock:
                found = Handed(self.dropped, tuple(self._waiting))
                self._waiting.clear()
                self._count = self.dropped = 0
            if found.portions or found.dropped:
                yield found

    def _drop(self, excess: int) -> None:
        """So many of the oldest, or all of the oldest portion if it has fewer."""
        oldest = self._waiting.popleft()
        gone = min(excess, len(oldest.traces))
        if gone < len(oldest.traces):
            self._waiting.appendleft(oldest.without_first(gone))
        self._count -= gone
        self.dropped += gone


class Feed:
    """Reads while there are viewers, and asks the engines to tell; rests, and lets them rest, while there is none."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation
        self._viewers: set[Viewer] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._after: str | None = None
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for name, run in (("traces", self._read), ("interest in traces", self._keep_watching))
        ]

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def viewing(self, wanted: Wanted) -> Iterator[Viewer]:
        """A viewer while the block lasts; to be entered inside an event loop."""
        viewer = Viewer(wanted)
        with self._changed:
            self._viewers.add(viewer)
            self._changed.notify_all()
        try:
            yield viewer
        finally:
            with self._changed:
                self._viewers.discard(viewer)

    def since(self, trace_id: str) -> list[Trace]:
        """What has come after a trace, as far as it is kept and at most some thousands. Raises BrokerError, ValueError.

        For a viewer that comes again, and is one already; not for the event loop. What it is given live may overlap
        with this, and leaves nothing out in between.
        """
        entry, place = place_of(trace_id)
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._after is not None, 2 * READ_BLOCK)
        found = traces_of(self._observation.read_traces(_before(entry), BATCHES, 0.0))
        return [trace for trace in found if place_of(trace.id) > (entry, place)]

    def _keep_watching(self) -> None:
        while self._wait_for_viewers():
            try:
                self._observation.watch(WATCH)
            except BrokerError as error:
                logger.warning("Engines cannot be asked to tell what they do: %s", error)
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, WATCH_INTERVAL)

    def _read(self) -> None:
        while self._wait_for_viewers():
            try:
                self._go_on(self._pass_on())
            except BrokerError as error:
                logger.warning("Traces wait for the broker: %s", error)
                self._go_on(None)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, BACKOFF)

    def _pass_on(self) -> str | None:
        """Read once and hand out; where the next reading begins, None at the end of what there then is."""
        if self._after is None:
            return self._observation.last_trace()
        batches = self._observation.read_traces(self._after, BATCHES, READ_BLOCK)
        with self._changed:
            viewers = list(self._viewers)
        if not viewers:
            return None  # the next viewer begins with what comes then
        _hand_out(traces_of(batches), left_out_of(batches), viewers)
        return batches[-1][0] if batches else self._after

    def _go_on(self, after: str | None) -> None:
        with self._changed:
            self._after = after
            self._changed.notify_all()

    def _wait_for_viewers(self) -> bool:
        """Rest until somebody views; False when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or bool(self._viewers))
            return not self._stopping


def _hand_out(traces: Sequence[Trace], left_out: int, viewers: Iterable[Viewer]) -> None:
    """Each gets what it wants. That is chosen, and later written, once for all who want the same."""
    alike: defaultdict[Wanted, list[Viewer]] = defaultdict(list)
    for viewer in viewers:
        alike[viewer.wanted].append(viewer)
    told: defaultdict[asyncio.AbstractEventLoop, list[Viewer]] = defaultdict(list)
    for wanted, those in alike.items():
        portions = list(portions_of(wanted.of(traces), WAITING))
        for viewer in those if portions or left_out else ():
            if left_out:
                viewer.miss(left_out)
            for portion in portions:
                viewer.give(portion)
            told[viewer.loop].append(viewer)
    for loop, those in told.items():
        # One call for all of a loop; one that has ended meanwhile has no viewers any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_wake, those)


def _wake(viewers: Iterable[Viewer]) -> None:
    for viewer in viewers:
        viewer.something.set()


def _before(entry: tuple[int, int]) -> str:
    """The id just below an entry's, so that reading begins with that entry."""
    milliseconds, number = entry
    if number:
        return f"{milliseconds}-{number - 1}"
    return f"{milliseconds - 1}-18446744073709551615" if milliseconds else "0"
