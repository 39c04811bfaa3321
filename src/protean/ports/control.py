"""What people have decided about a running system: which lanes rest, and what was done by whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A handler that is given nothing on one lane until `expires_at`, on every machine."""

    handler: str
    lane: str
    reason: str
    actor: str
    paused_at: datetime
    expires_at: datetime


class OperationState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that somebody had done. `target` says to what, in words; `total` is 0 where there is nothing to count.

    `result` and `error` are sentences for people, without anything of a payload. `told_at`: when its progress was told
    last; one that is running and silent for long has died with the process that carried it out.
    """

    id: str
    kind: str
    actor: str
    target: str
    reason: str
    state: OperationState
    done: int
    total: int
    result: str
    error: str
    started_at: datetime
    told_at: datetime


class Control(Protocol):
    def pause(self, pause: Pause) -> None:
        """Let it rest; an earlier pause of the same is replaced."""
        ...

    def resume(self, handler: str, lane: str) -> bool:
        """Let it work again; whether it was paused."""
        ...

    def pauses(self) -> list[Pause]:
        """All that were not taken back, expired ones too, by handler and lane."""
        ...

    def record(self, operation: Operation) -> None:
        """Write an operation down, in place of what was known of it."""
        ...

    def operation(self, operation_id: str) -> Operation | None: ...

    def operations(self, limit: int, before: datetime | None = None) -> list[Operation]:
        """The newest, by their start; those that started before a moment."""
        ...

    def prune(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` operations, and expired pauses, of before a moment; how many operations."""
        ...
