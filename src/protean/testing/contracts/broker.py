"""What every broker keeps. Inherit from `BrokerContract` and give the fixtures `broker` and `second_broker`.

class TestMyBroker(BrokerContract):
    @pytest.fixture
    def broker(self): ...

    @pytest.fixture
    def second_broker(self, broker): ...   # another client of the same server
"""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterable
from uuid import uuid4

import pytest

from protean.ports.broker import Broker
from protean.testing.contracts.broker_counting import CountingContract
from protean.testing.contracts.broker_feed import FeedContract
from protean.testing.contracts.broker_observation import ObservationContract
from protean.testing.contracts.broker_presence import PresenceContract
from protean.testing.contracts.broker_reading import ReadingContract
from protean.testing.contracts.broker_steps import PATIENCE, lively
from protean.testing.contracts.broker_trimming import TrimmingContract
from protean.testing.contracts.broker_upkeep import UpkeepContract


class BrokerContract(
    CountingContract,
    FeedContract,
    ReadingContract,
    TrimmingContract,
    PresenceContract,
    UpkeepContract,
    ObservationContract,
):
    @pytest.fixture
    def stream(self, broker: Broker) -> Iterable[str]:
        """A stream of this test's own."""
        name = f"contract-{uuid4().hex}"
        yield name
        broker.flush(name)

    def test_dead_letters_keep_their_fields(self, broker: Broker, stream: str) -> None:
        dlq = f"{stream}:dlq"
        first = broker.bury(dlq, {"data": b"\x00\xff", "error": "no such customer", "attempts": "3"})
        second = broker.bury(dlq, {"data": b"2"})

        assert broker.entries(dlq, "-", 5) == [
            (first, {"data": b"\x00\xff", "error": b"no such customer", "attempts": b"3"}),
            (second, {"data": b"2"}),
        ]

    def test_dead_letters_are_capped_oldest_out(self, broker: Broker, stream: str) -> None:
        dlq = f"{stream}:dlq"
        ids = [broker.bury(dlq, {"data": b"x"}) for _ in range(10_300)]

        state = broker.stream(dlq)
        assert 10_000 <= state.length < 10_300
        assert state.first_id == ids[-state.length]

    def test_ping(self, broker: Broker) -> None:
        broker.ping()

    def test_flush_deletes_this_application_only(self, broker: Broker, stream: str) -> None:
        neighbour = f"neighbour-{stream}"
        for name in [stream, f"{stream}:backfill", neighbour]:
            broker.publish([(name, b"a")])
        consumer = lively()
        broker.beat(consumer, PATIENCE)

        assert broker.flush(stream) >= 3
        assert broker.living() == []
        assert [broker.stream(name).length for name in [stream, f"{stream}:backfill", neighbour]] == [0, 0, 1]
        broker.flush(neighbour)
