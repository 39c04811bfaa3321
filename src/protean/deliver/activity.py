"""What a thread is at, for those who ask whether all is well."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    IDLE = "idle"  # nothing to do
    WORKING = "working"  # has messages in hand
    WAITING = "waiting"  # for a server that does not answer, or takes nothing


@dataclass(frozen=True, slots=True)
class Activity:
    """`since` is on the clock of `time.monotonic()`, None while idle; `detail` says what it is at or waits for."""

    state: State = State.IDLE
    since: float | None = None
    detail: str = ""
