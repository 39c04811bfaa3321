"""What one engine process says of itself: each step while somebody watches, and durations by the minute.

The pipeline appends to a bounded list; a thread of its own turns that into traces and histograms, a few times a
second, and leaves them with the broker in one round trip, however many messages there were. Nothing of it is needed
to work: what cannot be left, and of steps more than anybody can read, is left out, and counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json, to_json

from protean.exceptions import BrokerError
from protean.histogram import Histogram
from protean.message import Message
from protean.ports.handling import Outcome, Verdict
from protean.ports.observation import Observation
from protean.ports.outbox import OutboxRow
from protean.ports.progress import Failure, FailureState
from protean.rounds import Rounds
from protean.wording import counted

logger = logging.getLogger(__name__)

#: Seconds between two looks at what has been said. Shorter shows it sooner; each look with news is one round trip.
TRACE_INTERVAL = 0.25
#: The same while nobody watches: how late somebody who begins to is noticed, at most.
WATCH_INTERVAL = 1.0
#: Seconds between two writings of the running minute.
MINUTE_INTERVAL = 2.0
#: What the pipeline may have said and nobody has looked at yet. Beyond, the oldest is forgotten.
UNSEEN = 50_000
#: Steps that one process tells in one turn: 1,000 a second. More of them nobody can read; they are left out, and that
#: is told. Production has a process of its own, so that a backfill takes none of its steps away.
TOLD = 250
#: About how many entries the stream keeps, each of a turn: 40 MB of the broker, at most.
CAPACITY = 400
#: Characters of an error in a trace: its kind and its beginning.
ERROR_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Said:
    """One step, as the pipeline said it.

    `at` is in seconds since the epoch, `seconds` the handler's run; `again`: after a failure.
    """

    name: str
    at: float
    stream: str
    handler: str | None = None
    message: Message | None = None
    row: OutboxRow | None = None
    outcome: Outcome | None = None
    failure: Failure | None = None
    seconds: float | None = None
    error: str | None = None
    again: bool = False


@dataclass(slots=True)
class Durations:
    """Of one handler on one stream: from the outbox to the end of the handler, and the handler's run; in seconds."""

    latency: Histogram = field(default_factory=Histogram)
    handling: Histogram = field(default_factory=Histogram)


class Recorder:
    """The `Signals` of a process. `stream_of(category, priority)` names the lane's stream that a message belongs to.

    `history`: whether durations are counted also while nobody watches.
    """

    def __init__(self, stream_of: Callable[[str, int], str], *, history: bool) -> None:
        self.tracing = False
        self.wanted = history
        self._forgotten = self._steps = 0
        self._stream_of = stream_of
        self._history = history
        self._said: deque[Said] = deque(maxlen=UNSEEN)

    def watch(self, watched: bool) -> None:
        """Tell each step from now on, or no longer."""
        self.tracing, self.wanted = watched, watched or self._history

    def published(self, rows: Sequence[tuple[OutboxRow, str]]) -> None:
        if self._left_out(len(rows)):
            return
        now = time.time()
        for row, stream in rows:
            self._say(Said("outbox.published", now, stream, row=row))

    def refused(self, row: OutboxRow, stream: str, error: str) -> None:
        self._say(Said("outbox.failed", time.time(), stream, row=row, error=error))

    def started(self, handler: str, message: Message) -> None:
        if not self._left_out(1):
            self._say(Said("handler.started", time.time(), self._stream(message), handler, message))

    def completed(self, handler: str, calls: Sequence[tuple[Message, float]], *, again: bool) -> None:
        now = time.time()
        for message, seconds in calls:
            stream = self._stream(message)
            self._say(Said("handler.completed", now, stream, handler, message, seconds=seconds, again=again))

    def failed(self, handler: str, message: Message, seconds: float, error: BaseException) -> None:
        if self.tracing:
            stream, kind = self._stream(message), type(error).__name__
            self._say(Said("handler.failed", time.time(), stream, handler, message, seconds=seconds, error=kind))

    def settled(self, handler: str, stream: str, outcomes: Sequence[Outcome]) -> None:
        if self._left_out(len(outcomes)):
            return
        now = time.time()
        for outcome in outcomes:
            name = "message.acked"
            if outcome.failure is not None and outcome.verdict is not Verdict.BLOCKED:
                name = _name_of(outcome.failure)
            self._say(Said(name, now, stream, handler, outcome.message, outcome=outcome, failure=outcome.failure))

    def retried(self, failure: Failure, left: Failure | None) -> None:
        name = "message.acked" if left is None else _name_of(left)
        self._say(Said(name, time.time(), failure.stream, failure.handler, failure=left or failure))

    def said(self) -> Iterator[Said]:
        """What has been said since the last time and until now, oldest first."""
        self._steps = 0
        for _ in range(len(self._said)):
            yield self._said.popleft()

    def forgotten(self) -> int:
        """How many steps were forgotten since the last time, because nobody looked soon enough."""
        forgotten, self._forgotten = self._forgotten, 0
        return forgotten

    def _left_out(self, steps: int) -> bool:
        """Whether so many more are too many to be told: what nobody will read is not even made."""
        if self._steps < TOLD:
            return False
        self._forgotten += steps
        return True

    def _stream(self, message: Message) -> str:
        return self._stream_of(message.category, message.priority)

    def _say(self, said: Said) -> None:
        if len(self._said) == UNSEEN:
            self._forgotten += 1
        self._steps += 1
        self._said.append(said)


class Signaller:
    """Leaves what a recorder holds with the broker, from a thread of its own. `history`: hours to keep minutes for."""

    def __init__(self, recorder: Recorder, observation: Observation, process: str, history: float) -> None:
        self._recorder = recorder
        self._observation = observation
        self._process = process
        self._keep = max(history * 3600.0, 600.0)
        self._minute = 0
        self._durations: dict[tuple[str, str], Durations] = {}
        self._changed = False
        self._written_at = self._asked_at = 0.0
        self.rounds = Rounds()

    def run(self, stopping: threading.Event) -> None:
        """Signal until `stopping` is set, and then what is left."""
        while not stopping.wait(TRACE_INTERVAL if self._recorder.tracing else WATCH_INTERVAL):
            self.turn()
        self.turn(last=True)

    def turn(self, *, last: bool = False) -> None:
        """Look once. A broker that does not answer is tried again; what was to be told of steps is then forgotten."""
        now = time.monotonic()
        try:
            told = self._pass_on(last or now - self._written_at >= MINUTE_INTERVAL)
            if now - self._asked_at >= WATCH_INTERVAL:
                self._asked_at = now
                self._recorder.watch(self._observation.watched())
        except BrokerError as error:
            if self.rounds.last is None or not self.rounds.last.failures:
                logger.warning("What is told to those who watch is forgotten meanwhile: %s", error)
            self.rounds.failed(error)
        else:
            self.rounds.done(f"{counted(told, 'step')} told")

    def _pass_on(self, write: bool) -> int:
        traces: list[dict[str, Any]] = []
        left_out = self._recorder.forgotten()
        for said in self._recorder.said():
            if said.name == "handler.completed":
                self._count(said)
            if self._recorder.tracing:
                if len(traces) < TOLD:
                    traces.append(trace_of(said, self._process))
                else:
                    left_out += 1
        batches = [to_json(traces)] if traces else []
        if left_out and self._recorder.tracing:
            batches.append(to_json({"left_out": left_out}))
        if batches:
            self._observation.publish_traces(batches, CAPACITY)
        if write and self._changed:
            self._write()
        return len(traces)

    def _count(self, said: Said) -> None:
        message = said.message
        if message is None or said.seconds is None:
            return
        # Threads that finish together may tell in another order: who is late counts into the minute that runs.
        minute = max(int(said.at // 60), self._minute)
        if minute != self._minute:
            if self._changed:
                self._write()
            self._durations.clear()
            self._minute = minute
        durations = self._durations.setdefault((said.stream, said.handler or ""), Durations())
        if not said.again:  # yesterday's dead letter that is replayed would make today's production look slow
            durations.latency.add(said.at - message.time.timestamp())
        durations.handling.add(said.seconds)
        self._changed = True

    def _write(self) -> None:
        self._written_at = time.monotonic()
        told = [
            {
                "stream": stream,
                "handler": handler,
                "latency": durations.latency.to_plain(),
                "handling": durations.handling.to_plain(),
            }
            for (stream, handler), durations in self._durations.items()
        ]
        self._observation.write_minute(self._process, self._minute, to_json(told), self._keep)
        self._changed = False


def trace_of(said: Said, worker: str) -> dict[str, Any]:
    """The trace of a step, as JSON can hold it. Durations are in milliseconds, moments ISO 8601 in UTC."""
    told: dict[str, Any] = {
        "event": said.name,
        "timestamp": _iso(said.at),
        "stream": said.stream,
        "handler": said.handler,
        "worker": worker,
        "duration_ms": None if said.seconds is None else round(said.seconds * 1000, 3),
        "latency_ms": None,
        **dict.fromkeys(("message_id", "message_type", "priority", "correlation_id", "causation_id")),
    }
    if said.message is not None:
        message = said.message
        told |= {
            "message_id": message.id,
            "message_type": message.type,
            "priority": message.priority,
            "correlation_id": message.correlation_id,
            "causation_id": message.causation_id,
            "latency_ms": round((said.at - message.time.timestamp()) * 1000, 3),
        }
    elif said.row is not None:
        told |= _of_row(said.row, said.at)
    elif said.failure is not None:
        told |= {"message_id": said.failure.message_id, "message_type": said.failure.message_type}
    elif said.outcome is not None:
        told |= {"message_id": said.outcome.message_id, "message_type": said.outcome.message_type}
    error = said.error or (said.failure.error_type if said.failure is not None else None)
    return told if error is None else told | {"error": error[:ERROR_LENGTH]}


def _of_row(row: OutboxRow, at: float) -> dict[str, Any]:
    metadata = from_json(row.metadata)
    return {
        "message_id": row.message_id,
        "message_type": metadata.get("type"),
        "priority": row.priority,
        "correlation_id": metadata.get("correlation_id"),
        "causation_id": metadata.get("causation_id"),
        "latency_ms": round((at - row.created_at.timestamp()) * 1000, 3),
    }


def _name_of(failure: Failure) -> str:
    return "message.dlq" if failure.state is FailureState.DEAD else "message.retried"


def _iso(at: float) -> str:
    seconds, fraction = divmod(at, 1)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(fraction * 1000):03d}Z"
