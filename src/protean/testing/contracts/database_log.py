"""`Log`: positions without gaps, and one order for messages, log and outbox."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from protean.exceptions import DatabaseError, ExpectedVersionError
from protean.ports.database import Database
from protean.ports.log import LogFilter
from protean.ports.outbox import Claim
from protean.testing.contracts.database_steps import (
    BROKER,
    NOON,
    Elsewhere,
    append,
    logged,
    message,
    outcomes,
    transaction,
)


class LogContract:
    @pytest.fixture
    def elsewhere(self) -> Iterator[Elsewhere]:
        thread = Elsewhere()
        yield thread
        thread.close()

    def test_a_message_comes_back_as_it_was(self, database: Database) -> None:
        written = message("customer-1", -50, name="Zoë", price=0.1, big=2**53 + 1, nested={"a": [None, True]})
        append(database, written)
        with transaction(database) as tx:
            (read,) = tx.log.read("customer-1", -1, 10)
        assert (read.id, read.type, read.stream_name, read.category) == (
            written.id, "CustomerRegistered", "customer-1", "customer",
        )  # fmt: skip
        assert (read.position, read.priority, read.time, read.correlation_id) == (0, -50, NOON, "c-1")
        assert read.headers == {"tenant": "acme"}
        assert read.data == {"name": "Zoë", "price": 0.1, "big": 2**53 + 1, "nested": {"a": [None, True]}}

    def test_positions_count_within_each_stream_across_commits(self, database: Database) -> None:
        append(database, message("customer-1"))
        append(database, *(message(f"customer-{n % 2}") for n in range(5)), message("order-1"))
        with transaction(database) as tx:
            assert [each.position for each in tx.log.read("customer-0", -1, 10)] == [0, 1, 2]
            assert [each.position for each in tx.log.read("customer-1", -1, 10)] == [0, 1, 2]
            assert [each.position for each in tx.log.read("customer-1", 0, 1)] == [1]
            assert (tx.log.head("customer-1"), tx.log.head("order-1"), tx.log.head("none")) == (2, 0, -1)

    def test_how_many_messages_are_behind_one_is_counted_in_its_stream(self, database: Database) -> None:
        first, second, other = message("customer-1"), message("customer-1"), message("order-1")
        append(database, first, message("customer-1"), second, message("customer-1"), other)
        with transaction(database) as tx:
            asked = [first.id, second.id, other.id, str(uuid4())]
            assert dict(tx.log.behind(asked)) == {first.id: 3, second.id: 1, other.id: 0}
            assert dict(tx.log.behind([])) == {}

    def test_several_appends_of_one_transaction_continue_each_other(self, database: Database) -> None:
        with transaction(database) as tx:
            tx.log.append([message("customer-1")], BROKER)
            tx.log.append([message("customer-1"), message("customer-1")], BROKER)
            assert tx.log.head("customer-1") == 2

    def test_the_given_order_is_the_order_of_log_and_outbox(self, database: Database) -> None:
        messages = [message(f"customer-{n * 7919 % 100}") for n in range(200)]
        append(database, *messages)
        with transaction(database) as tx:
            logged = tx.log.find([each.id for each in reversed(messages)])
        assert [each.id for each in logged] == [each.id for each in messages]
        with database.outbox.claim(Claim(BROKER, "primary"), 500) as batch:
            assert batch is not None
            assert [row.message_id for row in batch.rows] == [each.id for each in messages]
            assert [row.id for row in batch.rows] == sorted(row.id for row in batch.rows)

    def test_without_a_broker_the_log_alone_is_written(self, database: Database) -> None:
        append(database, message("customer-1"), broker=None)
        append(database, message("customer-1"), message("customer-2"), broker=None)
        assert database.outbox.count() == []
        with transaction(database) as tx:
            assert tx.log.head("customer-1") == 1

    def test_appending_nothing_does_nothing(self, database: Database) -> None:
        append(database)
        assert not database.outbox.waiting(Claim(BROKER, "primary"))

    def test_a_rollback_leaves_neither_message_nor_outbox_row(self, database: Database) -> None:
        tx = database.transaction()
        tx.log.append([message("customer-1"), message("customer-1")], BROKER)
        tx.rollback()
        assert database.outbox.count() == []
        append(database, message("customer-1"))
        with transaction(database) as tx:
            assert tx.log.head("customer-1") == 0

    def test_writers_of_different_streams_do_not_mix_them_up(self, database: Database, elsewhere: Elsewhere) -> None:
        def fill(stream_name: str) -> None:
            for _ in range(10):
                append(database, message(stream_name), message(stream_name))

        outcomes([elsewhere.start(fill, f"customer-{n}") for n in range(4)])
        with transaction(database) as tx:
            for n in range(4):
                read = tx.log.read(f"customer-{n}", -1, 100)
                assert [each.position for each in read] == list(range(20))
                assert [each.global_position for each in read] == sorted(each.global_position for each in read)

    def test_an_id_is_in_the_log_once(self, database: Database) -> None:
        once = message("customer-1")
        append(database, once)
        with pytest.raises(DatabaseError, match="id is in the log already"):
            append(database, once)
        with transaction(database) as tx:
            assert tx.log.head("customer-1") == 0

    def test_finding_ids_that_are_not_there_finds_the_others(self, database: Database) -> None:
        here = message("customer-1")
        append(database, here)
        with transaction(database) as tx:
            assert [each.id for each in tx.log.find([str(uuid4()), here.id])] == [here.id]
            assert tx.log.find([]) == []

    @pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
    def test_characters_that_no_database_keeps_are_refused(self, database: Database, bad: str) -> None:
        tx = database.transaction()
        with pytest.raises(DatabaseError, match="the data of CustomerRegistered"):
            tx.log.append([message("customer-1", name=bad)], BROKER)
        tx.rollback()
        append(database, message("customer-1", name="\\u0000 spelled out"))

    def test_a_stream_continues_where_it_is_expected_to_end(self, database: Database) -> None:
        with transaction(database) as tx:
            tx.log.append([message("order-1"), message("order-2"), message("order-1")], BROKER, {"order-1": -1})
        with transaction(database) as tx:
            tx.log.append([message("order-1")], BROKER, {"order-1": 1})
            tx.log.append([message("order-2"), message("order-1")], None, {"order-1": 2, "order-2": 0})
        with transaction(database) as tx:
            assert [each.position for each in tx.log.read("order-1", -1, 10)] == [0, 1, 2, 3]
            assert [each.position for each in tx.log.read("order-2", -1, 10)] == [0, 1]

    @pytest.mark.parametrize("together", [1, 2])
    def test_a_stream_that_somebody_has_continued_is_named_and_nothing_is_written(
        self, database: Database, together: int
    ) -> None:
        append(database, message("order-1"), message("order-1"), message("order-2"))
        tx = database.transaction()
        with pytest.raises(ExpectedVersionError, match="order-1 behind 0") as caught:
            tx.log.append([message("order-2"), message("order-1")][-together:], BROKER, {"order-2": 0, "order-1": 0})
        tx.rollback()
        assert caught.value.stream_name == "order-1"
        with transaction(database) as tx:
            assert (tx.log.head("order-1"), tx.log.head("order-2")) == (1, 0)

    def test_of_writers_at_once_that_expect_the_same_end_one_wins(
        self, database: Database, elsewhere: Elsewhere
    ) -> None:
        def begin(number: int) -> str:
            try:
                with transaction(database) as tx:
                    tx.log.append([message("order-1", n=number), message("order-1", n=number)], BROKER, {"order-1": -1})
            except ExpectedVersionError as error:
                return error.stream_name or ""
            return "won"

        assert sorted(outcomes([elsewhere.start(begin, number) for number in range(4)])) == ["order-1"] * 3 + ["won"]
        with transaction(database) as tx:
            read = tx.log.read("order-1", -1, 10)
        assert [each.position for each in read] == [0, 1]
        assert len({each.data["n"] for each in read}) == 1

    def test_writers_of_the_same_streams_in_different_orders_do_not_wait_for_each_other(
        self, database: Database, elsewhere: Elsewhere
    ) -> None:
        names = [f"order-{number}" for number in range(6)]
        expected = dict.fromkeys(names, -1)

        def begin(order: list[str]) -> str:
            try:
                with transaction(database) as tx:
                    tx.log.append([message(name) for name in order], BROKER, expected)
            except ExpectedVersionError:
                return "lost"
            return "won"

        done = outcomes([elsewhere.start(begin, names[n:] + names[:n]) for n in range(4)])
        assert sorted(done) == ["lost", "lost", "lost", "won"]

    def test_the_log_is_searched_by_everything_at_once(self, database: Database) -> None:
        written = logged(database, *(message(f"customer-{n % 2}", n=n) for n in range(6)), message("order-1"))
        with transaction(database) as tx:
            assert [each.id for each in tx.log.search(LogFilter(), 100)] == [each.id for each in written]
            orders = tx.log.search(LogFilter(categories=("order",)), 100)
            assert [each.stream_name for each in orders] == ["order-1"]
            page = tx.log.search(LogFilter(after=written[1].global_position, categories=("customer", "none")), 2)
            assert [each.data["n"] for each in page] == [2, 3]
            upto = tx.log.search(LogFilter(upto=written[1].global_position, types=("CustomerRegistered",)), 9)
            assert [each.data["n"] for each in upto] == [0, 1]
            everything = LogFilter(
                types=("CustomerRegistered",), correlation_id="c-1", since=NOON, until=NOON + timedelta(seconds=1)
            )
            assert len(tx.log.search(everything, 100)) == 7
            for nothing in (
                LogFilter(types=("Other",)),
                LogFilter(types=()),
                LogFilter(correlation_id="c-2"),
                LogFilter(since=NOON + timedelta(microseconds=1)),
                LogFilter(until=NOON),
            ):
                assert tx.log.search(nothing, 100) == []

    def test_the_streams_of_a_category_are_listed_once_page_by_page(self, database: Database) -> None:
        append(database, *(message(f"customer-{n % 5}") for n in range(20)), message("order-1"))
        with transaction(database) as tx:
            first = tx.log.streams("customer", "", 3)
            rest = tx.log.streams("customer", first[-1], 3)
            assert sorted(first + rest) == [f"customer-{n}" for n in range(5)]
            assert tx.log.streams("customer", rest[-1], 3) == []
