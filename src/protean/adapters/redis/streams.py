"""Streams: publishing and counting, reading as a member of a group, acknowledging, burying."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from protean.adapters.redis.connection import Argument, Connected, checked
from protean.adapters.redis.errors import ScriptMissingError
from protean.adapters.redis.scripts import ACK, ENSURE_GROUP, FEED, TALLY
from protean.exceptions import BrokerError, BrokerUnavailableError
from protean.ports.broker import Entry, Tally

#: Ids per acknowledging script. More saves round trips; the server does nothing else while a script runs.
ACK_CHUNK = 500

#: Dead letters kept per stream, about. The database keeps them all: this is the copy to look at with
#: redis-cli, and a dependency's outage must not fill the broker's memory with tracebacks.
DEAD_LETTERS_KEPT = 10_000


class Streams(Connected):
    """Publisher, Tallies, Feed, Subscriber and DeadLetters. Streams are named by the caller, in whole."""

    def publish(self, entries: Sequence[tuple[str, bytes]], tally: Tally | None = None) -> int:
        commands: list[tuple[Argument, ...]] = [("XADD", stream, "*", "data", payload) for stream, payload in entries]
        if tally is not None:
            # Last: an append-only file, or a replica, that ends between the entries and their count shows it.
            commands.append(("EVALSHA", TALLY.sha, 1, self._tally_key(tally.key), tally.known))
        replies = self._client.batch(commands)
        counted = replies.pop() if tally is not None else 0
        refusals = [
            (entry[0], reply) for entry, reply in zip(entries, replies, strict=True) if isinstance(reply, BrokerError)
        ]
        for _, refusal in refusals:
            if isinstance(refusal, BrokerUnavailableError):
                raise refusal
        for stream, refusal in refusals:
            raise BrokerError(f"{len(refusals)} of {len(entries)} entries, the first for {stream!r}: {refusal}")
        if tally is not None and isinstance(counted, ScriptMissingError):  # the server has been started again
            counted = self._client.call("EVAL", TALLY.text, 1, self._tally_key(tally.key), tally.known)
        return int(checked(counted))

    def tallies(self, keys: Sequence[str]) -> list[int]:
        replies = self._client.batch([("GET", self._tally_key(key)) for key in keys])
        return [_count(reply) for reply in replies]

    def forget(self, keys: Sequence[str]) -> None:
        for reply in self._client.batch([("UNLINK", self._tally_key(key)) for key in keys]):
            checked(reply)

    def feed(self, stream: str, payloads: Sequence[bytes], keep: int) -> None:
        if payloads:
            self._client.run(FEED, stream, keep, *payloads)

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

    def ack(self, stream: str, group: str, ids: Sequence[str], *, trim: bool = True) -> None:
        for start in range(0, len(ids), ACK_CHUNK):
            chunk = ids[start : start + ACK_CHUNK]
            if trim:
                self._client.run(ACK, stream, group, *chunk)
            else:
                self._client.call("XACK", stream, group, *chunk)

    def bury(self, stream: str, fields: Mapping[str, str | bytes]) -> str:
        flat = [part for pair in fields.items() for part in pair]
        entry_id: bytes = self._client.call("XADD", stream, "MAXLEN", "~", DEAD_LETTERS_KEPT, "*", *flat)
        return entry_id.decode()

    def _tally_key(self, key: str) -> str:
        return f"{self._namespace}published:{key}"


def _count(reply: Any) -> int:
    """A tally's value; 0 of what somebody else has put in its place, which proves nothing any more."""
    if isinstance(reply, BrokerUnavailableError):
        raise reply
    return int(reply) if isinstance(reply, bytes) and reply.isdigit() else 0


def entries_of(reply: Sequence[Any]) -> list[Entry]:
    """The server's (id, fields) pairs as entries."""
    return [Entry(entry_id.decode(), payload_of(fields)) for entry_id, fields in reply]


def payload_of(fields: Sequence[bytes] | None) -> bytes | None:
    """The field `data`; of somebody else's entry without one its fields, as JSON; None when the entry is gone."""
    if fields is None:
        return None
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    payload = named.get(b"data")
    if payload is not None:
        return payload
    texts = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in named.items()}
    return json.dumps(texts).encode()
