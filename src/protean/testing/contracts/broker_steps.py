"""Steps that the broker contract's stories are told in."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from uuid import uuid4

from protean.ports.broker import Broker, Entry, GroupState

#: Seconds within which what another thread does must have happened. Only a failing test waits so long.
PATIENCE = 5.0


def fill(broker: Broker, stream: str, count: int) -> None:
    broker.publish([(stream, str(number).encode()) for number in range(count)])


def payloads(entries: Iterable[Entry]) -> list[bytes | None]:
    return [entry.payload for entry in entries]


def drain(broker: Broker, stream: str, group: str, count: int) -> Iterable[list[Entry]]:
    """Read and acknowledge in batches until nothing comes."""
    while entries := broker.read(stream, group, "drain", count, 0):
        yield entries
        broker.ack(stream, group, [entry.id for entry in entries])


def group_of(broker: Broker, stream: str, group: str) -> GroupState:
    return next(state for state in broker.stream(stream).groups if state.name == group)


def assert_all_done(broker: Broker, stream: str) -> None:
    state = broker.stream(stream)
    assert (state.length, state.first_id) == (0, None)
    assert {(group.lag, group.pending, group.oldest_pending_id) for group in state.groups} == {(0, 0, None)}


def id_order(entry_id: str) -> tuple[int, int]:
    time_part, _, sequence = entry_id.partition("-")
    return int(time_part), int(sequence)


def lively() -> str:
    """A consumer's name that no other test uses."""
    return f"consumer-{uuid4().hex}"


def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; fail when it does not within PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)
