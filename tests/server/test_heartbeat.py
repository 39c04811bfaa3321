"""A process that is busy lives."""

from __future__ import annotations

import threading
import time

import pytest
from tests.server.conftest import Cluster

from protean.deliver import heartbeat

EXPIRY = 1.5


def test_an_engine_lives_while_all_its_handlers_are_busy_for_longer_than_a_beat_lasts(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_INTERVAL", 0.1)
    monkeypatch.setattr(heartbeat, "BEAT_EXPIRY", EXPIRY)
    busy, done = threading.Event(), threading.Event()

    def works(_event: object) -> None:
        busy.set()
        done.wait(30)

    (engine,) = cluster.start(between=works)
    cluster.bank.open("a")
    assert busy.wait(30)
    time.sleep(EXPIRY * 2)  # whatever was said before the handler began has expired
    try:
        assert _is_seen_alive(cluster, engine.consumer)
    finally:
        done.set()
    cluster.settle()


def _is_seen_alive(cluster: Cluster, consumer: str) -> bool:
    """Now, or soon: a shared machine may hold up the heart for a moment, but not for ten beats in a row."""
    for _ in range(10):
        if consumer in cluster.bank.domain.broker().living():
            return True
        time.sleep(0.1)
    return False
