"""How many database connections the start of a server reckons with: what its threads can hold at the same time."""

from __future__ import annotations

from typing import Any

import pytest

from protean import Domain, handle
from protean.deliver.attending import ATTENDANTS
from protean.deliver.gate import LaneGate
from protean.deliver.lanes import Lane
from protean.fields import Identifier
from protean.server.assembly import Assembly, Role


def with_command_handlers(count: int, processing: str) -> Domain:
    domain = Domain(
        "many",
        config={
            "brokers": {"default": {"provider": "memory"}},
            "server": {"priority_lanes": {"enabled": True}},
            "command_processing": processing,
        },
    )
    for number in range(count):
        aggregate: Any = domain.aggregate(type(f"Thing{number}", (), {}))

        class Make:
            thing_id: Identifier(required=True)

        command: Any = domain.command(part_of=aggregate)(type(f"Make{number}", (Make,), {"__annotations__": {}}))
        taken = handle(command)(lambda self, command: None)
        domain.command_handler(part_of=aggregate)(type(f"Maker{number}", (), {"make": taken}))
    domain.init()
    return domain


def needed(domain: Domain, *lanes: Lane) -> int:
    return Assembly(domain, Role(lanes), LaneGate(), "me").connections


@pytest.mark.parametrize("lane", Lane)
def test_command_handlers_that_share_threads_share_connections(lane: Lane) -> None:
    one, many = (needed(with_command_handlers(count, "sync"), lane) for count in (1, 20))
    assert many - one == ATTENDANTS - 1


@pytest.mark.parametrize("lane", Lane)
def test_command_handlers_with_threads_of_their_own_count_each(lane: Lane) -> None:
    one, many = (needed(with_command_handlers(count, "async"), lane) for count in (1, 20))
    assert many - one == 19
