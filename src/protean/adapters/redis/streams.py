"""Streams: publishing, reading as a member of a group, acknowledging, burying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from protean.adapters.redis.connection import Argument, Connected
from protean.adapters.redis.scripts import ACK, ENSURE_GROUP
from protean.exceptions import BrokerError, BrokerUnavailableError
from protean.ports.broker import Entry

#: Ids per acknowledging script. More saves round trips; the server does nothing else while a script runs.
ACK_CHUNK = 500

#: Dead letters kept per stream, about. The database keeps them all: this is the copy to look at with
#: redis-cli, and a dependency's outage must not fill the broker's memory with tracebacks.
DEAD_LETTERS_KEPT = 10_000


class Streams(Connected):
    """Publisher, Subscriber and DeadLetters. Streams are named by the caller, in whole."""

    def publish(self, entries: Sequence[tuple[str, bytes]]) -> None:
        replies = self._client.batch([("XADD", stream, "*", "data", payload) for stream, payload in entries])
        refusals = [
            (entry[0], reply) for entry, reply in zip(entries, replies, strict=True) if isinstance(reply, BrokerError)
        ]
        for _, refusal in refusals:
            if isinstance(refusal, BrokerUnavailableError):
                raise refusal
        for stream, refusal in refusals:
            raise BrokerError(f"{len(refusals)} of {len(entries)} entries, the first for {stream!r}: {refusal}")

    def ensure_group(self, stream: str, group: str) -> bool:
        return bool(self._client.run(ENSURE_GROUP, stream, group))

    def read(self, stream: str, group: str, consumer: str, count: int, block: float) -> list[Entry]:
        # BLOCK 0 would wait for ever, so a wait is at least a millisecond and no wait is no BLOCK at all.
        waiting: tuple[Argument, ...] = ("BLOCK", max(1, ceil(block * 1000))) if block > 0 else ()
        reply = self._client.call(
            "XREADGROUP", "GROUP", group, consumer, "COUNT", count, *waiting, "STREAMS", stream, ">",
            wait=max(block, 0.0),
        )  # fmt: skip
        return entries_of(reply[0][1]) if reply else []

    def pending(self, stream: str, group: str, consumer: str, after: str, count: int) -> list[Entry]:
        reply = self._client.call("XREADGROUP", "GROUP", group, consumer, "COUNT", count, "STREAMS", stream, after)
        return entries_of(reply[0][1]) if reply else []

    def ack(self, stream: str, group: str, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), ACK_CHUNK):
            self._client.run(ACK, stream, group, *ids[start : start + ACK_CHUNK])

    def bury(self, stream: str, fields: Mapping[str, str | bytes]) -> str:
        flat = [part for pair in fields.items() for part in pair]
        entry_id: bytes = self._client.call("XADD", stream, "MAXLEN", "~", DEAD_LETTERS_KEPT, "*", *flat)
        return entry_id.decode()


def entries_of(reply: Sequence[Any]) -> list[Entry]:
    """The server's (id, fields) pairs as entries."""
    return [Entry(entry_id.decode(), payload_of(fields)) for entry_id, fields in reply]


def payload_of(fields: Sequence[bytes] | None) -> bytes | None:
    """The field `data`; empty when somebody else's entry has none, None when the entry is gone."""
    if fields is None:
        return None
    return dict(zip(fields[::2], fields[1::2], strict=True)).get(b"data", b"")
