"""The broker contract: publishing, and reading in groups."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pytest

from protean.exceptions import GroupMissingError
from protean.ports.broker import Broker
from protean.testing.contracts.broker_steps import PATIENCE, assert_all_done, drain, fill, id_order, payloads


class ReadingContract:
    """Order, batches, waiting, sharing, and reading again what is pending."""

    # Publishing and reading

    def test_entries_come_in_the_order_published(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        broker.publish([(stream, b"a"), (stream, b"b")])
        broker.publish([(stream, b"c")])

        assert payloads(broker.read(stream, "Group", "one", 10, 0)) == [b"a", b"b", b"c"]

    def test_ids_ascend(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 300)

        ids = [entry.id for entry in broker.read(stream, "Group", "one", 300, 0)]

        assert sorted(ids, key=id_order) == ids
        assert len(set(ids)) == 300

    def test_a_batch_may_name_several_streams(self, broker: Broker, stream: str) -> None:
        other = f"{stream}:backfill"
        broker.ensure_group(stream, "Group")
        broker.ensure_group(other, "Group")
        broker.publish([(stream, b"1"), (other, b"2"), (stream, b"3")])

        assert payloads(broker.read(stream, "Group", "one", 10, 0)) == [b"1", b"3"]
        assert payloads(broker.read(other, "Group", "one", 10, 0)) == [b"2"]

    def test_an_empty_batch_is_nothing(self, broker: Broker, stream: str) -> None:
        broker.publish([])

        assert broker.stream(stream).length == 0

    def test_a_read_takes_no_more_than_count(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 5)

        sizes = [len(broker.read(stream, "Group", "one", 2, 0)) for _ in range(4)]

        assert sizes == [2, 2, 1, 0]

    def test_a_read_with_block_0_does_not_wait(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        started = time.monotonic()

        assert broker.read(stream, "Group", "one", 10, 0) == []
        assert time.monotonic() - started < 0.5

    def test_a_blocking_read_ends_after_its_time(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        started = time.monotonic()

        assert broker.read(stream, "Group", "one", 10, 0.2) == []
        assert 0.15 < time.monotonic() - started < 1.5

    def test_a_blocking_read_shorter_than_a_millisecond_ends_too(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        started = time.monotonic()

        assert broker.read(stream, "Group", "one", 10, 0.0004) == []
        assert time.monotonic() - started < 0.5

    def test_a_blocking_read_ends_when_something_comes(
        self, broker: Broker, second_broker: Broker, stream: str
    ) -> None:
        broker.ensure_group(stream, "Group")
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(broker.read, stream, "Group", "one", 10, PATIENCE)
            time.sleep(0.1)
            started = time.monotonic()
            second_broker.publish([(stream, b"news")])

            assert payloads(reading.result()) == [b"news"]
            assert time.monotonic() - started < 1

    def test_a_blocking_read_delays_no_other_call(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(broker.read, stream, "Group", "one", 10, 1.0)
            time.sleep(0.1)
            started = time.monotonic()
            broker.beat("one", 1)
            broker.stream(stream)

            assert time.monotonic() - started < 0.5
            assert reading.result() == []

    def test_payloads_are_any_bytes(self, broker: Broker, stream: str) -> None:
        everything = [b"", b"\x00\xff\r\n", bytes(range(256)), "naïve ✓".encode()]
        broker.ensure_group(stream, "Group")
        broker.publish([(stream, payload) for payload in everything])

        assert payloads(broker.read(stream, "Group", "one", 10, 0)) == everything

    def test_payloads_of_a_megabyte(self, broker: Broker, stream: str) -> None:
        large = [bytes([letter]) * 1024 * 1024 for letter in b"abc"]
        broker.ensure_group(stream, "Group")
        broker.publish([(stream, payload) for payload in large])

        entries = broker.read(stream, "Group", "one", 10, 0)
        assert payloads(entries) == large
        broker.ack(stream, "Group", [entry.id for entry in entries])
        assert broker.stream(stream).length == 0

    def test_ten_thousand_entries_pass(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        for start in range(0, 10_000, 500):
            broker.publish([(stream, str(number).encode()) for number in range(start, start + 500)])
        assert broker.stream(stream).length == 10_000

        read = [entry.payload for batch in drain(broker, stream, "Group", 100) for entry in batch]

        assert read == [str(number).encode() for number in range(10_000)]
        assert_all_done(broker, stream)

    # Groups

    def test_a_group_is_made_once(self, broker: Broker, second_broker: Broker, stream: str) -> None:
        assert broker.ensure_group(stream, "Group")
        assert not second_broker.ensure_group(stream, "Group")
        assert broker.ensure_group(stream, "Other")

    def test_making_a_group_again_does_not_rewind_it(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        broker.publish([(stream, b"a")])
        broker.read(stream, "Group", "one", 10, 0)
        broker.ensure_group(stream, "Group")

        assert broker.read(stream, "Group", "one", 10, 0) == []

    def test_a_new_group_starts_at_the_beginning(self, broker: Broker, stream: str) -> None:
        broker.publish([(stream, b"before")])
        broker.ensure_group(stream, "Group")

        assert payloads(broker.read(stream, "Group", "one", 10, 0)) == [b"before"]

    def test_every_group_gets_everything(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "First")
        broker.ensure_group(stream, "Second")
        broker.publish([(stream, b"a"), (stream, b"b")])

        assert payloads(broker.read(stream, "First", "one", 10, 0)) == [b"a", b"b"]
        assert payloads(broker.read(stream, "Second", "one", 10, 0)) == [b"a", b"b"]

    def test_consumers_of_a_group_share_without_doubling(
        self, broker: Broker, second_broker: Broker, stream: str
    ) -> None:
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 2_000)
        seen: list[bytes | None] = []
        lock = Lock()

        def consume(client: Broker, consumer: str) -> None:
            while entries := client.read(stream, "Group", consumer, 7, 0):
                with lock:
                    seen.extend(payloads(entries))
                client.ack(stream, "Group", [entry.id for entry in entries])

        with ThreadPoolExecutor(4) as pool:
            clients = [broker, second_broker, broker, second_broker]
            for running in [pool.submit(consume, client, f"c{n}") for n, client in enumerate(clients)]:
                running.result()

        assert sorted(seen, key=repr) == sorted((str(n).encode() for n in range(2_000)), key=repr)
        assert_all_done(broker, stream)

    def test_reading_without_a_group_says_so(self, broker: Broker, stream: str) -> None:
        with pytest.raises(GroupMissingError, match="group"):
            broker.read(stream, "Group", "one", 10, 0)
        broker.publish([(stream, b"a")])
        with pytest.raises(GroupMissingError):
            broker.read(stream, "Group", "one", 10, 0.1)
        with pytest.raises(GroupMissingError):
            broker.pending(stream, "Group", "one", "0", 10)
        with pytest.raises(GroupMissingError):
            broker.absent(stream, "Group")
        with pytest.raises(GroupMissingError):
            broker.claim(stream, "Group", "dead", "one", 10)

    def test_a_waiting_reader_learns_that_the_stream_is_gone(
        self, broker: Broker, second_broker: Broker, stream: str
    ) -> None:
        broker.ensure_group(stream, "Group")

        def read_until_missing() -> None:
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                broker.read(stream, "Group", "one", 10, 0.3)

        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read_until_missing)
            time.sleep(0.1)
            second_broker.flush(stream)
            with pytest.raises(GroupMissingError):
                reading.result()

    # Pending

    def test_what_is_not_acknowledged_can_be_read_again(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 5)
        entries = broker.read(stream, "Group", "one", 10, 0)
        broker.ack(stream, "Group", [entries[1].id, entries[3].id])

        first = broker.pending(stream, "Group", "one", "0", 2)
        rest = broker.pending(stream, "Group", "one", first[-1].id, 2)

        assert first == [entries[0], entries[2]]
        assert rest == [entries[4]]
        assert broker.pending(stream, "Group", "one", rest[-1].id, 2) == []

    def test_pending_is_one_s_own(self, broker: Broker, stream: str) -> None:
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 2)
        broker.read(stream, "Group", "one", 1, 0)
        second = broker.read(stream, "Group", "two", 1, 0)

        assert broker.pending(stream, "Group", "two", "0", 10) == second
        assert broker.pending(stream, "Group", "three", "0", 10) == []
