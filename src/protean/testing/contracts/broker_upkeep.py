"""The broker contract: looking after streams and groups that nobody uses any more."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from datetime import timedelta

from protean.clock import utc_now
from protean.ports.broker import Broker
from protean.testing.contracts.broker_steps import PATIENCE, assert_all_done, fill, group_of, lively


class UpkeepContract:
    """What nobody needs goes, what somebody needs stays."""

    def test_streams_are_found_by_how_their_names_begin(self, broker: Broker, stream: str) -> None:
        for name in [f"{stream}:b", stream, f"{stream}:a", f"{stream}*"]:
            fill(broker, name, 1)

        assert broker.streams(stream) == [stream, f"{stream}*", f"{stream}:a", f"{stream}:b"]
        assert broker.streams(f"{stream}*") == [f"{stream}*"]
        assert broker.streams(f"no-{stream}") == []

    def test_looking_at_what_consumers_hold_changes_nothing(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 3)
        broker.read(stream, "Group", "one", 2, 0)
        broker.read(stream, "Group", "two", 1, 0)

        assert broker.held(stream, "Group") == {"one": 2, "two": 1}
        assert broker.held(stream, "Group") == {"one": 2, "two": 1}
        assert [entry.deliveries for entry in broker.claim(stream, "Group", "one", "heir", 5)] == [1, 1]

    def test_who_resigns_from_a_group_goes_on_living(self, broker: Broker, stream: str) -> None:
        consumer = lively()
        broker.beat(consumer, PATIENCE)
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 1)
        (entry,) = broker.read(stream, "Group", consumer, 1, 0)
        broker.resign(consumer, stream, "Group")
        assert group_of(broker, stream, "Group").consumers == (consumer,)

        broker.ack(stream, "Group", [entry.id])
        broker.resign(consumer, stream, "Group")
        broker.resign(consumer, stream, "missing")
        broker.resign(consumer, "missing", "missing")

        assert group_of(broker, stream, "Group").consumers == ()
        assert consumer in broker.living()

    def test_removing_a_group_trims_what_only_it_still_needed(self, broker: Broker, stream: str) -> None:
        for group in ["Gone", "Stays"]:
            broker.ensure_group(stream, group)
        fill(broker, stream, 5)
        entries = broker.read(stream, "Stays", "one", 3, 0)
        broker.ack(stream, "Stays", [entry.id for entry in entries])
        assert broker.stream(stream).length == 5

        broker.remove_group(stream, "Gone")
        broker.remove_group(stream, "Gone")

        assert [state.name for state in broker.stream(stream).groups] == ["Stays"]
        assert (broker.stream(stream).length, group_of(broker, stream, "Stays").lag) == (2, 2)
        rest = broker.read(stream, "Stays", "one", 5, 0)
        broker.ack(stream, "Stays", [entry.id for entry in rest])
        assert_all_done(broker, stream)

    def test_a_stream_goes_with_its_last_group(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Gone")
        fill(broker, stream, 5)

        broker.remove_group(stream, "Gone")
        broker.remove_group(stream, "Gone")

        assert broker.streams(stream) == []

    def test_only_an_empty_stream_is_removed(self, broker: Broker, stream: str) -> None:
        assert broker.remove_stream(stream) is False
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 1)
        assert broker.remove_stream(stream) is False
        (entry,) = broker.read(stream, "Group", "one", 1, 0)
        assert broker.remove_stream(stream) is False
        broker.ack(stream, "Group", [entry.id])

        assert broker.remove_stream(stream) is True
        assert broker.streams(stream) == []

    def test_the_clock_is_told_in_utc(self, broker: Broker) -> None:
        assert abs(broker.clock() - utc_now()) < timedelta(minutes=5)
