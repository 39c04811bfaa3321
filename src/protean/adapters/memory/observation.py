"""What was seen, within one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Condition
from time import monotonic


class Observation:
    """See `protean.ports.observation`. Thread-safe. Minutes beyond the one that is kept longest are forgotten."""

    def __init__(self) -> None:
        self._seen = Condition()
        self._watched_until = 0.0
        self._traces: list[tuple[int, bytes]] = []
        self._newest = 0
        self._minutes: dict[int, dict[str, bytes]] = {}

    def watch(self, seconds: float) -> None:
        self._watched_until = monotonic() + seconds

    def watched(self) -> bool:
        return monotonic() < self._watched_until

    def publish_traces(self, batches: Sequence[bytes], capacity: int) -> None:
        with self._seen:
            for batch in batches:
                self._newest += 1
                self._traces.append((self._newest, batch))
            del self._traces[:-capacity]
            self._seen.notify_all()

    def read_traces(self, after: str, count: int, block: float) -> list[tuple[str, bytes]]:
        number = int(after.partition("-")[0])
        with self._seen:
            if block > 0:
                self._seen.wait_for(lambda: self._newest > number, block)
            return [(f"{at}-0", batch) for at, batch in self._traces if at > number][:count]

    def last_trace(self) -> str:
        with self._seen:
            return f"{self._newest}-0" if self._traces else "0"

    def write_minute(self, process: str, minute: int, text: bytes, keep: float) -> None:
        with self._seen:
            self._minutes.setdefault(minute, {})[process] = text
            oldest = minute - int(keep // 60) - 1
            for gone in [each for each in self._minutes if each < oldest]:
                del self._minutes[gone]

    def read_minutes(self, minutes: Sequence[int]) -> Mapping[int, Sequence[bytes]]:
        with self._seen:
            return {each: list(self._minutes[each].values()) for each in minutes if each in self._minutes}
