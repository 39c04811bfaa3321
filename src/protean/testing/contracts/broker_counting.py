"""The broker contract: counting what was published."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from uuid import uuid4

from protean.ports.broker import BEHIND, Broker, Tally
from protean.testing.contracts.broker_steps import payloads


class CountingContract:
    """A count grows by one a batch, never ahead of its entries, and a loss is not counted away."""

    def test_a_batch_counts_once_however_many_entries_it_has(self, broker: Broker, stream: str) -> None:
        key = uuid4().hex
        assert broker.tallies([key]) == [0]
        assert broker.publish([(stream, b"1"), (stream, b"2")], Tally(key, 0)) == 1
        assert broker.publish([(stream, b"3")], Tally(key, 1)) == 2
        assert broker.tallies([key, uuid4().hex]) == [2, 0]
        assert broker.stream(stream).length == 3

    def test_without_a_tally_nothing_is_counted(self, broker: Broker, stream: str) -> None:
        assert broker.publish([(stream, b"1")]) == 0
        assert broker.tallies([]) == []

    def test_a_broker_that_is_ahead_counts_on(self, broker: Broker, stream: str) -> None:
        key = uuid4().hex
        for known in (0, 0, 1):
            broker.publish([(stream, b"x")], Tally(key, known))
        assert broker.tallies([key]) == [3]

    def test_a_broker_that_is_behind_takes_the_entries_and_does_not_count_the_loss_away(
        self, broker: Broker, second_broker: Broker, stream: str
    ) -> None:
        key = uuid4().hex
        broker.ensure_group(stream, "Group")
        broker.publish([(stream, b"1")], Tally(key, 0))
        assert broker.publish([(stream, b"2")], Tally(key, 2)) == BEHIND
        assert second_broker.publish([(stream, b"3")], Tally(key, 2)) == BEHIND
        assert broker.tallies([key]) == [1]
        assert payloads(broker.read(stream, "Group", "one", 10, 0)) == [b"1", b"2", b"3"]

    def test_a_tally_is_forgotten_for_good(self, broker: Broker, stream: str) -> None:
        key, other = uuid4().hex, uuid4().hex
        for each in (key, other):
            broker.publish([(stream, b"x")], Tally(each, 0))
        broker.forget([key])
        broker.forget([])
        assert broker.tallies([key, other]) == [0, 1]
