"""What people and monitors ask about streams and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protean.adapters.redis.connection import Connected
from protean.adapters.redis.scripts import STATE
from protean.ports.broker import GroupState, StreamState


class Inspection(Connected):
    def stream(self, name: str) -> StreamState:
        return self._states([name])[name]

    def backlog(self, groups: Sequence[tuple[str, str]]) -> list[int]:
        states = self._states(list(dict.fromkeys(stream for stream, _ in groups)))
        backlogs = {
            (stream, group.name): group.lag + group.pending
            for stream, state in states.items()
            for group in state.groups
        }
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


def _pairs(flat: Sequence[bytes]) -> zip[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)
