"""The contract, for every broker: one in memory, one on this run's server over its socket or address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from protean.adapters.memory.broker import MemoryBroker
from protean.adapters.redis.broker import RedisBroker
from protean.ports.broker import Broker
from protean.testing.contracts.broker import BrokerContract


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    def broker(self) -> Iterator[Broker]:
        broker = MemoryBroker()
        yield broker
        broker.close()

    @pytest.fixture
    def second_broker(self, broker: Broker) -> Broker:
        return broker


class TestRedisBroker(BrokerContract):
    @pytest.fixture
    def broker(self, broker_url: str) -> Iterator[Broker]:
        broker = RedisBroker(broker_url)
        yield broker
        broker.close()

    @pytest.fixture
    def second_broker(self, broker_url: str) -> Iterator[Broker]:
        broker = RedisBroker(broker_url)
        yield broker
        broker.close()
