"""The broker contract: streams for readers beyond the domain."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from protean.ports.broker import Broker
from protean.testing.contracts.broker_steps import payloads


class FeedContract:
    """Order, one step, and a cap that waits for nobody."""

    def test_what_is_fed_comes_in_order_to_every_group(
        self, broker: Broker, second_broker: Broker, stream: str
    ) -> None:
        broker.ensure_group(stream, "Early")
        broker.feed(stream, [b"a", b"b"], 0)
        second_broker.feed(stream, [b"c"], 0)
        broker.feed(stream, [], 1)
        broker.ensure_group(stream, "Late")
        for group in ("Early", "Late"):
            assert payloads(broker.read(stream, group, "one", 10, 0)) == [b"a", b"b", b"c"]

    def test_the_oldest_go_first_read_or_not(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        for start in range(0, 3000, 100):
            broker.feed(stream, [str(number).encode() for number in range(start, start + 100)], 1000)
        length = broker.stream(stream).length
        assert 1000 <= length <= 1200
        read = payloads(broker.read(stream, "Group", "one", 3000, 0))
        assert read == [str(number).encode() for number in range(3000 - length, 3000)]

    def test_without_a_cap_all_stay(self, broker: Broker, stream: str) -> None:
        for _ in range(30):
            broker.feed(stream, [b"x"] * 100, 0)
        assert broker.stream(stream).length == 3000
