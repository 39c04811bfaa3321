"""Engines in this process, each with a domain of its own, over one real PostgreSQL and one real broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.bank import Bank, build_bank

from protean.server.engine import Engine

#: Seconds in which everything must have been handled. Generous: shared machines stand still at times.
PATIENCE = 60.0


@dataclass
class Cluster:
    """`bank` writes; every engine started has the same configuration and a bank of its own."""

    config: dict[str, Any]
    bank: Bank
    engines: list[Engine] = field(default_factory=list)
    banks: list[Bank] = field(default_factory=list)

    def start(self, engines: int = 1, **levers: Any) -> list[Engine]:
        started = []
        for _ in range(engines):
            bank = build_bank(self.config)
            for name, value in levers.items():
                setattr(bank, name, value)
            engine = Engine(bank.domain)
            engine.start()
            started.append(engine)
            self.banks.append(bank)
        self.engines += started
        return started

    def stop(self) -> None:
        for engine in self.engines:
            assert engine.finish()
        self.engines.clear()

    @property
    def streams(self) -> list[str]:
        return ["account", "account:backfill"]

    def owed(self) -> dict[str, int]:
        """Everything between a commit and its effects; all 0 when everything is done."""
        database, broker = self.bank.domain.database(), self.bank.domain.broker()
        owed = {"outbox": sum(count.rows for count in database.outbox.count() if count.status != "published")}
        for stream in self.streams:
            state = broker.stream(stream)
            owed[f"{stream} length"] = state.length
            for group in state.groups:
                owed[f"{stream} lag of {group.name}"] = group.lag
                owed[f"{stream} pending of {group.name}"] = group.pending
        return owed

    def settle(self) -> None:
        """Wait until nothing is owed any more."""
        wait_for(lambda: not any(self.owed().values()), lambda: f"still owed: {self.owed()}")


def wait_for(done: Callable[[], bool], complaint: Callable[[], str] = lambda: "waited in vain") -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.01)


@pytest.fixture
def cluster(database_url: str, broker_url: str) -> Iterator[Cluster]:
    config = {
        "databases": {"default": {"database_uri": database_url}},
        "brokers": {"default": {"uri": broker_url}},
        "server": {
            "priority_lanes": {"enabled": True},
            "retry": {"base_delay": 0.05, "max_delay": 0.2},
            "grace_period": 10.0,
        },
    }
    cluster = Cluster(config, build_bank(config))
    cluster.bank.domain.database()
    yield cluster
    cluster.stop()
    cluster.bank.domain.close()
