"""Where the processes of a domain leave what they saw, and who watches finds it. Best effort, and bounded: all of it
expires, and none of it is needed to work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Observation(Protocol):
    def watch(self, seconds: float) -> None:
        """Ask all processes to tell each step, for so long."""
        ...

    def watched(self) -> bool:
        """Whether somebody has asked for that."""
        ...

    def publish_traces(self, batches: Sequence[bytes], capacity: int) -> None:
        """Append batches of traces, in one round trip; about `capacity` of them are kept, the oldest go."""
        ...

    def read_traces(self, after: str, count: int, block: float) -> list[tuple[str, bytes]]:
        """Up to `count` (id, batch) above the id `after`, "0" for all there are; waits up to `block` seconds for one.

        `block` of 0 does not wait.
        """
        ...

    def last_trace(self) -> str:
        """The id of the newest batch, "0" if there is none."""
        ...

    def write_minute(self, process: str, minute: int, text: bytes, keep: float) -> None:
        """Put down what a process counted in a minute (since the epoch), in place of what it had for that minute."""
        ...

    def read_minutes(self, minutes: Sequence[int]) -> Mapping[int, Sequence[bytes]]:
        """What processes have put down for these minutes, one text a process. Those without any are left out."""
        ...
