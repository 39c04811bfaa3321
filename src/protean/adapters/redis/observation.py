"""What processes saw: a capped stream of traces, and a hash of counts for each minute. All of it expires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from protean.adapters.redis.connection import Argument, Connected, checked

#: Seconds that traces outlive the last of them.
TRACES_KEPT = 600
#: Minutes asked for in one round trip.
MINUTES_CHUNK = 200


class Observation(Connected):
    """See `protean.ports.observation`. No command names two keys."""

    def watch(self, seconds: float) -> None:
        self._client.call("SET", self._watched_key, "1", "PX", max(1, ceil(seconds * 1000)))

    def watched(self) -> bool:
        return bool(self._client.call("EXISTS", self._watched_key))

    def publish_traces(self, batches: Sequence[bytes], capacity: int) -> None:
        key = self._traces_key
        commands: list[tuple[Argument, ...]] = [("XADD", key, "MAXLEN", "~", capacity, "*", "t", b) for b in batches]
        for reply in self._client.batch([*commands, ("EXPIRE", key, TRACES_KEPT)]):
            checked(reply)

    def read_traces(self, after: str, count: int, block: float) -> list[tuple[str, bytes]]:
        waiting: tuple[Argument, ...] = ("BLOCK", max(1, ceil(block * 1000))) if block > 0 else ()
        reply = self._client.call(
            "XREAD", "COUNT", count, *waiting, "STREAMS", self._traces_key, after, wait=max(block, 0.0)
        )
        return [(entry_id.decode(), fields[1]) for entry_id, fields in reply[0][1]] if reply else []

    def last_trace(self) -> str:
        newest = self._client.call("XREVRANGE", self._traces_key, "+", "-", "COUNT", 1)
        return newest[0][0].decode() if newest else "0"

    def write_minute(self, process: str, minute: int, text: bytes, keep: float) -> None:
        key = self._minute_key(minute)
        for reply in self._client.batch([("HSET", key, process, text), ("EXPIRE", key, max(1, ceil(keep)))]):
            checked(reply)

    def read_minutes(self, minutes: Sequence[int]) -> Mapping[int, Sequence[bytes]]:
        found: dict[int, Sequence[bytes]] = {}
        for start in range(0, len(minutes), MINUTES_CHUNK):
            chunk = minutes[start : start + MINUTES_CHUNK]
            replies = self._client.batch([("HVALS", self._minute_key(minute)) for minute in chunk])
            told = zip(chunk, map(checked, replies), strict=True)
            found.update({minute: texts for minute, texts in told if texts})
        return found

    @property
    def _watched_key(self) -> str:
        return f"{self._namespace}watched"

    @property
    def _traces_key(self) -> str:
        return f"{self._namespace}traces"

    def _minute_key(self, minute: int) -> str:
        return f"{self._namespace}minute:{minute}"
