"""Traces, as they come, for any number of viewers: read once, handed to each through a queue that cannot grow."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from protean.exceptions import BrokerError
from protean.ports.observation import Observation

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
class Trace:
    """One step. `id` is its batch's id and its place in it: what `Last-Event-ID` carries."""

    id: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which traces a viewer wants; None: all. `stream` is a lane's own name, `category` either lane's."""

    stream: str | None = None
    category: str | None = None
    event: str | None = None
    message_type: str | None = None

    def holds(self, trace: Trace) -> bool:
        fields = trace.fields
        stream = str(fields.get("stream"))
        return (
            self.stream in (None, stream)
            and (self.category is None or stream == self.category or stream.startswith(f"{self.category}:"))
            and self.event in (None, fields.get("event"))
            and self.message_type in (None, fields.get("message_type"))
        )


class Viewer:
    """One connection. Filled by the feed's thread, emptied by its own task of the event loop."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.dropped = 0
        self._waiting: deque[Trace] = deque(maxlen=WAITING)
        self._loop = asyncio.get_running_loop()
        self._something = asyncio.Event()

    def give(self, traces: list[Trace], left_out: int = 0) -> None:
        """From any thread: what of these is wanted, instead of the oldest if need be; how many nobody has told."""
        found = [trace for trace in traces if self.wanted.holds(trace)]
        if not found and not left_out:
            return
        self.dropped += left_out + max(0, len(self._waiting) + len(found) - WAITING)
        self._waiting.extend(found)
        try:
            self._loop.call_soon_threadsafe(self._something.set)
        except RuntimeError:  # its loop has ended, and so has the viewer
            self._waiting.clear()

    async def traces(self, beat: float) -> AsyncIterator[list[Trace]]:
        """What has come since the last time; an empty list after `beat` seconds of nothing."""
        while True:
            try:
                await asyncio.wait_for(self._something.wait(), beat)
            except TimeoutError:
                yield []
                continue
            self._something.clear()
            found = []
            while self._waiting:
                found.append(self._waiting.popleft())
            yield found


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
        traces, left_out = traces_of(batches), left_out_of(batches)
        for viewer in viewers:
            viewer.give(traces, left_out)
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


def traces_of(batches: list[tuple[str, bytes]]) -> list[Trace]:
    """The traces of batches, oldest first."""
    found: list[Trace] = []
    for entry, text in batches:
        told = _json(text)
        if isinstance(told, list):
            found += [Trace(f"{entry}-{number}", each) for number, each in enumerate(told) if isinstance(each, dict)]
    return found


def left_out_of(batches: list[tuple[str, bytes]]) -> int:
    """How many steps engines have said and not told, because they were more than anybody could read."""
    return sum(
        int(told.get("left_out", 0)) for told in map(_json, (text for _, text in batches)) if isinstance(told, dict)
    )


def _json(text: bytes) -> Any:
    """What a batch holds; None for what is no batch, from another release perhaps."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def place_of(trace_id: str) -> tuple[tuple[int, int], int]:
    """Of `1700000000000-0-17` ((1700000000000, 0), 17). Raises ValueError for anything else."""
    milliseconds, number, place = trace_id.split("-")
    return (int(milliseconds), int(number)), int(place)


def _before(entry: tuple[int, int]) -> str:
    """The id just below an entry's, so that reading begins with that entry."""
    milliseconds, number = entry
    if number:
        return f"{milliseconds}-{number - 1}"
    return f"{milliseconds - 1}-18446744073709551615" if milliseconds else "0"
