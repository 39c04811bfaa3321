"""The heart: what it says, and what it notices of its own silence."""

from __future__ import annotations

import time

import pytest

from protean.adapters.memory.broker import MemoryBroker
from protean.deliver import heartbeat as module
from protean.deliver.heartbeat import Heartbeat, Sign
from protean.exceptions import BrokerUnavailableError

SIGN = Sign("shop", ("primary", "backfill"))


class FullBroker(MemoryBroker):
    """Takes nothing new while it is full."""

    full = False

    def beat(self, consumer: str, expiry: float, says: str = "") -> bool:
        if self.full:
            raise BrokerUnavailableError("out of memory")
        return super().beat(consumer, expiry, says)


def test_a_beat_says_whose_engine_it_is_and_which_lanes_it_serves() -> None:
    broker = MemoryBroker()
    heart = Heartbeat(broker, "me", SIGN, lambda silence: None)
    assert not heart.heard

    heart.beat()

    assert heart.heard
    assert {name: Sign.from_text(text) for name, text in broker.signs().items()} == {"me": SIGN}


@pytest.mark.parametrize("text", ["", "1", "[]", "{}", '{"domain": "x"}', '{"domain": "x", "lanes": 3}', "\x00"])
def test_what_somebody_else_says_there_is_no_sign(text: str) -> None:
    assert Sign.from_text(text) is None


def test_a_beat_after_too_long_a_silence_is_told_and_one_in_time_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_EXPIRY", 0.2)
    lapses: list[float] = []
    heart = Heartbeat(MemoryBroker(), "me", SIGN, lapses.append)
    heart.beat()
    heart.beat()
    assert lapses == []

    time.sleep(0.3)  # as a process that was stopped
    assert not heart.heard
    heart.beat()

    assert len(lapses) == 1
    assert lapses[0] >= 0.3
    assert heart.heard


def test_a_broker_that_is_full_is_complained_about_and_tried_again() -> None:
    broker, lapses = FullBroker(), list[float]()
    broker.full = True
    heart = Heartbeat(broker, "me", SIGN, lapses.append)

    heart.beat()
    assert (heart.heard, heart.complaint) == (False, "out of memory")
    broker.full = False
    heart.beat()

    assert (heart.heard, heart.complaint, lapses) == (True, None, [])
