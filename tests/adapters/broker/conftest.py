"""A broker on this run's server, an administrator's connection beside it, and a network that can fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis
from tests.adapters.broker.network import Network

from protean.adapters.redis.broker import RedisBroker


@pytest.fixture
def broker(broker_url: str) -> Iterator[RedisBroker]:
    broker = RedisBroker(broker_url)
    yield broker
    broker.close()


@pytest.fixture
def admin(broker_url: str) -> Iterator[Redis]:
    with Redis.from_url(broker_url) as client:
        yield client


@pytest.fixture
def network(broker_url: str) -> Iterator[Network]:
    network = Network(broker_url)
    yield network
    network.close()
