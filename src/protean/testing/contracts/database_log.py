"""`Log`: positions without gaps, and one order for messages, log and outbox."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from protean.exceptions import DatabaseError
from protean.ports.database import Database
from protean.ports.outbox import Claim
from protean.testing.contracts.database_steps import (
    BROKER,
    NOON,
    Elsewhere,
    append,
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
