"""What a process says of itself, and whether that is fit for work. Moments are on the clock of `time.monotonic()`,
which all processes of one machine share.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from protean.deliver.activity import State
from protean.rounds import Round

#: Seconds without a word after which a process counts as frozen.
SILENT_AFTER = 5.0
#: Seconds that a lane may have work in hand and settle none of it, or wait for a server, before it is called stuck.
STUCK_AFTER = 60.0
#: Rounds that a thread must have failed in a row, over at least that many seconds, before it is called failing. Fewer,
#: or shorter, would tell of every restart of a server.
FAILING_ROUNDS, FAILING_AFTER = 3, 60.0


class Phase(StrEnum):
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadReport:
    """`handling` is the handler that is being called and its message's id, `handling_since` when the call began.

    `last_round` tells of threads that work in rounds: retries, housekeeping, lookout.
    """

    name: str
    alive: bool
    state: State
    since: float | None = None
    detail: str = ""
    handling: str | None = None
    handling_since: float | None = None
    last_round: Round | None = None

    @property
    def stuck(self) -> bool:
        return self.state is not State.IDLE and self.since is not None and time.monotonic() - self.since > STUCK_AFTER

    @property
    def failing(self) -> bool:
        last = self.last_round
        if last is None or last.failing_since is None:
            return False
        return last.failures >= FAILING_ROUNDS and time.monotonic() - last.failing_since >= FAILING_AFTER

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> ThreadReport:
        last = plain["last_round"]
        return cls(**{**plain, "state": State(plain["state"]), "last_round": None if last is None else Round(**last)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessReport:
    """One engine process. `servers` holds, for each database and the broker, what is wrong with it, or None."""

    consumer: str
    pid: int
    lanes: tuple[str, ...]
    phase: Phase
    since: float
    at: float
    waits_for: str | None = None
    servers: Mapping[str, str | None] = field(default_factory=dict)
    threads: tuple[ThreadReport, ...] = ()

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> ProcessReport:
        read: dict[str, Any] = json.loads(text)
        threads = [ThreadReport.from_plain(thread) for thread in read["threads"]]
        return cls(**{**read, "phase": Phase(read["phase"]), "lanes": tuple(read["lanes"]), "threads": tuple(threads)})

    def without_threads(self) -> ProcessReport:
        """The same for a reader with less room."""
        return ProcessReport(**{**{name: getattr(self, name) for name in self.__slots__}, "threads": ()})

    @property
    def unfit(self) -> list[str]:
        """Why nobody should rely on it now; empty if all is well."""
        reasons = []
        silence = time.monotonic() - self.at
        if silence > SILENT_AFTER:
            reasons.append(f"has not said a word for {silence:.0f} s: frozen, or starved of processor time")
        if self.phase is Phase.STARTING:
            reasons.append(f"is starting{f' and {self.waits_for}' if self.waits_for else ''}")
        elif self.phase is Phase.DRAINING:
            reasons.append("is ending")
        else:
            reasons += [f"{name}: {wrong}" for name, wrong in self.servers.items() if wrong is not None]
            reasons += [f"the thread `{thread.name}` has ended" for thread in self.threads if not thread.alive]
        return reasons

    @property
    def stuck(self) -> list[str]:
        """Lanes that have work and get none of it done."""
        now = time.monotonic()
        return [
            f"`{thread.name}` has got nothing done for {now - thread.since:.0f} s: {thread.handling or thread.detail}"
            for thread in self.threads
            if thread.stuck and thread.since is not None
        ]

    @property
    def failing(self) -> list[str]:
        """Threads whose rounds fail. What they do is put off: work of today goes on."""
        now = time.monotonic()
        return [
            f"`{thread.name}` has failed {last.failures} times in {now - last.failing_since:.0f} s: {last.result}"
            for thread in self.threads
            if thread.failing and (last := thread.last_round) is not None and last.failing_since is not None
        ]
