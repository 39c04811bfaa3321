"""Signs of life, and the taking over of what dead consumers left pending."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil

from protean.adapters.redis.connection import Connected, checked
from protean.adapters.redis.scripts import CLAIM, LEAVE
from protean.adapters.redis.streams import payload_of
from protean.exceptions import GroupMissingError
from protean.ports.broker import Entry

#: Entries claimed per call. More saves round trips; the server does nothing else while a script runs.
CLAIM_CHUNK = 500


class Presence(Connected):
    """A consumer lives while its key `protean:…beat:<consumer>` does; the key holds what it says of itself."""

    def beat(self, consumer: str, expiry: float, says: str = "") -> bool:
        # A server out of memory refuses SET and still takes PEXPIRE: those who live must not look dead then.
        key, milliseconds = self._beat_key(consumer), max(1, ceil(expiry * 1000))
        if self._client.call("PEXPIRE", key, milliseconds):
            return True
        self._client.call("SET", key, says, "PX", milliseconds)
        return False

    def leave(self, consumer: str, groups: Collection[tuple[str, str]]) -> None:
        for stream, group in groups:
            try:
                self._client.run(LEAVE, stream, group, consumer)
            except GroupMissingError:
                continue  # Nobody can be a member of a group that is gone.
        self._client.call("UNLINK", self._beat_key(consumer))

    def absent(self, stream: str, group: str, *, asking: str = "") -> list[str]:
        return self._lifeless([name for name in self._idle(stream, group) if name != asking])

    def silent(self, stream: str, group: str, seconds: float) -> list[str]:
        idle = self._idle(stream, group)
        return self._lifeless([name for name, milliseconds in idle.items() if milliseconds >= seconds * 1000])

    def claim(self, stream: str, group: str, dead: str, consumer: str, count: int) -> list[Entry]:
        """See the port. Beat and stream are two keys, which one script may not name together on a cluster.

        So there is a window: `dead` may beat again between the look and the claim. Then an entry is handled
        by both, which positions and inbox absorb like any other second delivery; and a consumer removed
        from its group is made again by its next read. A claimed entry that was trimmed while pending comes
        with payload None, and is no longer pending for anybody (Redis 6.2 keeps it pending until it is
        acknowledged).
        """
        if self._client.call("EXISTS", self._beat_key(dead)):
            return []
        ids, deliveries, entries = self._client.run(CLAIM, stream, group, dead, consumer, min(count, CLAIM_CHUNK))
        payloads = {entry_id: payload_of(fields) for entry_id, fields in filter(None, entries)}
        return [
            Entry(entry_id.decode(), payloads.get(entry_id), times)
            for entry_id, times in zip(ids, deliveries, strict=True)
        ]

    def living(self) -> list[str]:
        prefix = self._beat_key("")
        return sorted(key.decode().removeprefix(prefix) for key in self._client.scan(prefix))

    def signs(self) -> dict[str, str]:
        consumers = self.living()
        said = self._client.batch([("GET", self._beat_key(consumer)) for consumer in consumers])
        return {
            consumer: checked(says).decode(errors="replace")
            for consumer, says in zip(consumers, said, strict=True)
            if says is not None  # it ended while we were asking
        }

    def _idle(self, stream: str, group: str) -> dict[str, int]:
        """For how many milliseconds each consumer of the group has not read."""
        told = [
            dict(zip(consumer[::2], consumer[1::2], strict=True))
            for consumer in self._client.call("XINFO", "CONSUMERS", stream, group)
        ]
        return {consumer[b"name"].decode(): consumer[b"idle"] for consumer in told}

    def _lifeless(self, consumers: Sequence[str]) -> list[str]:
        living = self._client.batch([("EXISTS", self._beat_key(consumer)) for consumer in consumers])
        return [consumer for consumer, lives in zip(consumers, living, strict=True) if not checked(lives)]

    def _beat_key(self, consumer: str) -> str:
        return f"{self._namespace}beat:{consumer}"
