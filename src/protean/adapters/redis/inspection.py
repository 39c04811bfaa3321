"""What people and monitors ask about streams and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from protean.adapters.redis.connection import Connected, checked
from protean.adapters.redis.scripts import STATE
from protean.exceptions import BrokerError
from protean.ports.broker import GroupState, StreamState


class Inspection(Connected):
    def stream(self, name: str) -> StreamState:
        return self._states([name])[name]

    def backlog(self, groups: Sequence[tuple[str, str]]) -> list[int]:
        """See the port. One XINFO a stream, which is asked for several times a second, for ever."""
        streams = list(dict.fromkeys(stream for stream, _ in groups))
        replies = self._client.batch([("XINFO", "GROUPS", stream) for stream in streams])
        backlogs: dict[tuple[str, str], int] = {}
        for stream, reply in zip(streams, replies, strict=True):
            if isinstance(reply, BrokerError) and "no such key" in str(reply):
                continue
            found = [dict(_pairs(flat)) for flat in checked(reply)]
            if any(group.get(b"lag") is None for group in found):  # before Redis 7, or where it cannot tell: count
                backlogs.update({(stream, each.name): each.lag + each.pending for each in self.stream(stream).groups})
            else:
                backlogs.update({(stream, each[b"name"].decode()): each[b"lag"] + each[b"pending"] for each in found})
        return [backlogs.get(group, 0) for group in groups]

    def entries(self, stream: str, after: str, count: int) -> list[tuple[str, Mapping[str, bytes]]]:
        start = after if after == "-" else f"({after}"
        return [
            (entry_id.decode(), {name.decode(errors="replace"): value for name, value in _pairs(flat)})
            for entry_id, flat in self._client.call("XRANGE", stream, start, "+", "COUNT", count)
        ]

    def _states(self, streams: Sequence[str]) -> dict[str, StreamState]:
        return {
            stream: StreamState(
                length=length,
                first_id=first and first.decode(),
                groups=tuple(
                    GroupState(
                        name=name.decode(),
                        lag=lag,
                        pending=pending,
                        consumers=tuple(consumer.decode() for consumer in consumers),
                        oldest_pending_id=oldest and oldest.decode(),
                    )
                    for name, lag, pending, oldest, consumers in groups
                ),
            )
            for stream, (length, first, groups) in zip(streams, self._client.run_each(STATE, streams), strict=True)
        }


def _pairs(flat: Sequence[Any]) -> zip[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)
