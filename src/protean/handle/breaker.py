"""The breaker of a handler: when everything it is given fails, it is not the messages.

A dependency that is away fails every message in turn. Trying on would burn the attempts of a whole stream of good
messages and bury them. So a run of failures opens the breaker: nothing more is handed over, entries stay on their
stream, no retry is claimed. After a while a few messages are let through as trials, one after the other. If one
succeeds everything goes on, otherwise the wait doubles. Neither a trial nor the run that opened the breaker costs its
messages an attempt: several processes, each with a breaker of its own, would else use up the attempts of the same few
messages between them.

What counts are failures of different messages that had none before. One that has failed while the handler was well,
and fails again, says nothing new: it has a schedule and attempts of its own, and goes on by these. Else the bad
messages that are left of a day would, once nothing good comes any more, hold up each other. A success in between ends
the run: one bad message, however often it is tried, or some of them among good ones, open nothing.

The words are an electrician's: closed is well, open lets nothing through. Why so: docs/adr/011-what-opens-a-breaker.md.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from protean.clock import utc_now
from protean.ports.progress import Failure
from protean.wording import counted

logger = logging.getLogger(__name__)

#: Seconds between looks at a trial under way. Its end is what everybody else of the handler waits for.
TRIAL_LOOK = 0.05
#: Trials at a time. More ask a dependency that is away more often; fewer take longer to find a good message among bad.
TRIALS = 5
#: Messages of a run, failed before, that get their attempt back when it opens the breaker. More is a longer statement.
FORGIVEN_BESIDES = 500


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """First failures of `failures` different messages, without a success in between, open it; 0: never.

    `cool_down`: seconds until the first trials; doubles whenever they have failed up to `max_cool_down`.
    """

    failures: int = 20
    cool_down: float = 1.0
    max_cool_down: float = 8.0

    def wait(self, openings: int) -> float:
        """Seconds until the next trials, after it was opened `openings` times in a row before."""
        seconds: float = min(self.cool_down * 2.0 ** min(openings, 32), self.max_cool_down)
        return seconds


OFF = BreakerSettings(failures=0)


@dataclass(frozen=True, slots=True)
class Circuit:
    """What has happened since the last success.

    `failed` are the ids of the messages that failed for the first time, `again` of others, `openings` how often it was
    opened, `open_until` the moment of the next trials on the clock given to it; None: closed. `trials` have failed
    since then, of which some were `telling`.
    """

    failed: frozenset[str] = frozenset()
    again: frozenset[str] = frozenset()
    openings: int = 0
    open_until: float | None = None
    trials: int = 0
    telling: bool = False

    def after_failure(self, message_id: str, settings: BreakerSettings, now: float, *, again: bool = False) -> Circuit:
        """Of a message that was not a trial. What was under way when it opened changes nothing any more."""
        if not settings.failures or self.open_until is not None:
            return self
        if again:
            return replace(self, again=self.again | {message_id}) if len(self.again) < FORGIVEN_BESIDES else self
        counted = replace(self, failed=self.failed | {message_id})
        return counted if len(counted.failed) < settings.failures else counted.opened(settings, now)

    def after_trial(self, settings: BreakerSettings, now: float, *, again: bool = False) -> Circuit:
        """A failed one. When only such have failed as did so before, that was no news: the wait is the first one."""
        tried = replace(self, trials=self.trials + 1, telling=self.telling or not again)
        if tried.trials < TRIALS:
            return tried
        if tried.telling:
            return self.opened(settings, now)
        return replace(self, open_until=now + settings.cool_down, trials=0)

    def opened(self, settings: BreakerSettings, now: float) -> Circuit:
        """Open until the next trials, also after failed ones."""
        return Circuit(self.failed, self.again, self.openings + 1, now + settings.wait(self.openings))


CLOSED = Circuit()


class Passing(StrEnum):
    ALL = "all"  # closed: whatever there is
    ONE = "one"  # half-open: a message as a trial, then `leave`
    NONE = "none"  # open, or somebody else has the trial


class Breaker:
    """Shared by everything in a process that runs one handler: both lanes and the retries."""

    def __init__(
        self, handler: str, settings: BreakerSettings = OFF, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._handler = handler
        self._settings = settings
        self._clock = clock
        self._circuit = CLOSED
        self._trial = False
        self._lock = threading.Lock()

    @property
    def closed(self) -> bool:
        return self._circuit.open_until is None

    def rests_for(self) -> float:
        """Seconds for which nothing may be handed over; 0.0: now."""
        until = self._circuit.open_until
        if until is None:
            return 0.0
        return TRIAL_LOOK if self._trial else max(until - self._clock(), 0.0)

    def enter(self) -> Passing:
        """What may be handled now. Whoever gets ONE has the trial until it calls `leave`."""
        if self.closed:  # every message comes by here: without the lock
            return Passing.ALL
        with self._lock:
            until = self._circuit.open_until
            if until is None:
                return Passing.ALL
            if self._trial or self._clock() < until:
                return Passing.NONE
            self._trial = True
            return Passing.ONE

    def leave(self) -> None:
        """The trial has ended. Without a verdict, as for a duplicate, the next message is the trial."""
        with self._lock:
            self._trial = False

    def succeeded(self) -> None:
        """A message was handled: the run has ended, an open breaker closes."""
        if self._circuit is CLOSED:
            return
        with self._lock:
            before, self._circuit = self._circuit, CLOSED
        if before.open_until is not None:
            logger.info("[%s] succeeds again: everything is handed over as before", self._handler)

    def failed(self, failure: Failure, *, trial: bool = False, again: bool = False) -> frozenset[str]:
        """A message could not be handled; `trial` by who had the trial, `again`: it had failed before, on its own.

        When that opens the breaker, the messages of the run: what they failed at was most likely not theirs.
        """
        with self._lock:
            before, now = self._circuit, self._clock()
            if trial and before.open_until is not None:
                self._circuit = before.after_trial(self._settings, now, again=again)
            else:
                self._circuit = before.after_failure(failure.message_id, self._settings, now, again=again)
            after = self._circuit
        if after.open_until is None or after.openings == before.openings:
            return frozenset()
        self._report(failure, after, after.open_until - now)
        return after.failed | after.again if not before.openings else frozenset()

    def _report(self, failure: Failure, circuit: Circuit, seconds: float) -> None:
        until = utc_now() + timedelta(seconds=seconds)
        logger.warning(
            "[%s] has failed at %s: nothing is handed to it until %s UTC (%.1f s), then up to %d messages as trials; "
            "its messages wait where they are. The last error is %s: %s",
            self._handler,
            f"{counted(len(circuit.failed), 'different message')} in a row"
            if circuit.openings == 1
            else "its trials again",
            f"{until:%H:%M:%S}",
            seconds,
            TRIALS,
            failure.error_type,
            failure.error,
        )
