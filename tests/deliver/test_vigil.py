"""Who is gone is found out also while every subscription waits for what the dead one holds."""

from __future__ import annotations

import pytest

from protean.adapters.memory.broker import MemoryBroker
from protean.deliver.vigil import Vigil

GROUPS = [("account", "Ledger"), ("order", "Ledger")]


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    for stream, group in GROUPS:
        broker.ensure_group(stream, group)
    for consumer in ("me", "alive", "dead"):
        broker.read("account", "Ledger", consumer, 1, 0.0)
    for consumer in ("me", "alive"):
        broker.beat(consumer, 60.0)
    return broker


def test_the_sessions_of_who_was_gone_at_two_looks_are_ended_and_no_others(broker: MemoryBroker) -> None:
    ended: list[str] = []
    vigil = Vigil(broker, "me", GROUPS, ended.append, lambda: True)
    vigil.look()
    assert ended == []
    vigil.look()
    assert ended == ["dead"]


def test_who_comes_back_in_between_is_left_alone(broker: MemoryBroker) -> None:
    ended: list[str] = []
    vigil = Vigil(broker, "me", GROUPS, ended.append, lambda: True)
    vigil.look()
    broker.beat("dead", 60.0)
    vigil.look()
    assert ended == []


def test_who_is_not_heard_itself_ends_nobody(broker: MemoryBroker) -> None:
    ended: list[str] = []
    heard = iter([True, False, True])
    vigil = Vigil(broker, "me", GROUPS, ended.append, lambda: next(heard))
    for _ in range(3):
        vigil.look()
    assert ended == []


def test_a_group_that_is_gone_hides_nobody_in_the_others(broker: MemoryBroker) -> None:
    ended: list[str] = []
    broker.flush("order")
    broker.beat("me", 60.0)
    broker.beat("alive", 60.0)
    vigil = Vigil(broker, "me", GROUPS, ended.append, lambda: True)
    vigil.look()
    vigil.look()
    assert ended == ["dead"]
