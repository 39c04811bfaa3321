"""What was seen: traces while somebody watches, and counts by the minute."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

import threading
import time

from protean.ports.broker import Broker

#: A minute of the distant past, so that nobody else has anything there.
MINUTE = 1_000


class ObservationContract:
    def test_watching_ends_by_itself(self, broker: Broker, second_broker: Broker) -> None:
        assert not broker.watched()

        second_broker.watch(0.2)
        assert broker.watched()
        time.sleep(0.3)

        assert not broker.watched()

    def test_traces_are_read_in_order_from_where_one_was(self, broker: Broker, second_broker: Broker) -> None:
        before = second_broker.last_trace()
        broker.publish_traces([b"one", b"two"], 100)
        broker.publish_traces([b"three"], 100)

        found = second_broker.read_traces(before, 10, 0.0)

        assert [batch for _, batch in found] == [b"one", b"two", b"three"]
        assert [batch for _, batch in second_broker.read_traces(found[0][0], 1, 0.0)] == [b"two"]
        assert second_broker.last_trace() == found[-1][0]
        assert second_broker.read_traces(found[-1][0], 10, 0.0) == []

    def test_who_waits_for_a_trace_is_given_the_next(self, broker: Broker, second_broker: Broker) -> None:
        newest = broker.last_trace()
        later = threading.Timer(0.1, second_broker.publish_traces, ([b"next"], 100))
        later.start()

        found = broker.read_traces(newest, 10, 5.0)

        later.join()
        assert [batch for _, batch in found] == [b"next"]

    def test_waiting_for_a_trace_ends(self, broker: Broker) -> None:
        assert broker.read_traces(broker.last_trace(), 10, 0.05) == []

    def test_old_traces_go(self, broker: Broker) -> None:
        for _ in range(50):
            broker.publish_traces([b"x"] * 100, 200)

        assert len(broker.read_traces("0", 10_000, 0.0)) < 1_000

    def test_the_last_word_of_each_process_on_a_minute_counts(self, broker: Broker, second_broker: Broker) -> None:
        broker.write_minute("a", MINUTE, b"1", 600)
        broker.write_minute("a", MINUTE, b"2", 600)
        second_broker.write_minute("b", MINUTE, b"3", 600)
        second_broker.write_minute("b", MINUTE + 1, b"4", 600)

        found = broker.read_minutes([MINUTE - 1, MINUTE, MINUTE + 1])

        assert {minute: sorted(texts) for minute, texts in found.items()} == {MINUTE: [b"2", b"3"], MINUTE + 1: [b"4"]}

    def test_a_whole_day_of_minutes_can_be_asked_for(self, broker: Broker) -> None:
        broker.write_minute("a", MINUTE, b"1", 600)

        assert broker.read_minutes(range(MINUTE - 1_439, MINUTE + 1)) == {MINUTE: [b"1"]}
