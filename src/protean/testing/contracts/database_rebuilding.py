"""`Rebuilding` and `Shadows`: a table made anew beside the one in use, and put in its place in one step."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from protean.exceptions import DatabaseError, TableMissingError, TakenError
from protean.ports.database import Database
from protean.ports.progress import Position
from protean.ports.query import Query
from protean.ports.rebuilding import Behind, UnderWay
from protean.ports.recovery import Interest
from protean.ports.rows import Insert, Table
from protean.testing.contracts.database_steps import (
    CUSTOMER,
    NOON,
    Elsewhere,
    append,
    customer,
    logged,
    message,
    transaction,
    write,
)

H, STAND_IN = "CustomerProjector", "CustomerProjector:rebuild"
SHADOW = replace(CUSTOMER, name="customer_anew")
FIRST, SECOND = "t-1", "t-2"
BEGUN = UnderWay(
    projection="Customers",
    shadow="customer_anew",
    token=FIRST,
    cursor=0,
    done=0,
    total=9,
    begun_at=NOON,
    stepped_at=NOON,
)


def place(database: Database, handler: str, positions: Mapping[str, int], *blocked: str) -> None:
    """Have a handler stand there."""
    with transaction(database) as tx:
        tx.positions.lock(handler, positions)
        tx.positions.move(handler, positions)
        for name in blocked:
            tx.positions.block(handler, name, True)


def stands(database: Database, handler: str, *names: str) -> list[Position]:
    with transaction(database) as tx:
        locked = tx.positions.lock(handler, names)
        return [locked[name] for name in names]


def names(database: Database, table: Table = CUSTOMER) -> list[str]:
    with transaction(database) as tx:
        return sorted(row["id"] for row in tx.rows.select(Query(), table))


class RebuildingContract:
    @pytest.fixture
    def elsewhere(self) -> Iterator[Elsewhere]:
        thread = Elsewhere()
        yield thread
        thread.close()

    # Who is at it

    def test_of_two_rebuilds_of_a_projection_the_later_one_goes_on(self, database: Database) -> None:
        later = replace(BEGUN, token=SECOND, total=10)
        with transaction(database) as tx:
            assert tx.rebuilding.under_way() == []
            tx.rebuilding.begin(BEGUN)
            tx.rebuilding.begin(replace(BEGUN, projection="Another"))
            assert tx.rebuilding.hold("Customers", FIRST)
        with transaction(database) as tx:
            tx.rebuilding.begin(later)
            assert not tx.rebuilding.hold("Customers", FIRST)
            assert not tx.rebuilding.hold("Nobody", FIRST)
            tx.rebuilding.step(replace(BEGUN, cursor=5, done=5))
            tx.rebuilding.end("Customers", FIRST)
            assert tx.rebuilding.under_way() == [replace(BEGUN, projection="Another"), later]
            stepped = replace(later, cursor=7, done=3, total=12)
            tx.rebuilding.step(stepped)
        with transaction(database) as tx:
            assert tx.rebuilding.under_way()[1] == stepped
            tx.rebuilding.end("Customers", SECOND)
            assert [each.projection for each in tx.rebuilding.under_way()] == ["Another"]

    def test_taking_over_waits_for_who_holds_it(self, database: Database, elsewhere: Elsewhere) -> None:
        def take_over() -> None:
            with transaction(database) as tx:
                tx.rebuilding.begin(replace(BEGUN, token=SECOND))

        with transaction(database) as tx:
            tx.rebuilding.begin(BEGUN)
        holding = database.transaction()
        assert holding.rebuilding.hold("Customers", FIRST)
        other = elsewhere.start(take_over)
        assert elsewhere.waits(other)
        holding.commit()
        other.result(timeout=20)
        with transaction(database) as tx:
            assert not tx.rebuilding.hold("Customers", FIRST)

    # The log

    def test_the_log_is_counted_and_read_by_categories_in_order_and_bounded(self, database: Database) -> None:
        with transaction(database) as tx:
            assert (tx.rebuilding.head(), tx.rebuilding.count(["customer"])) == (0, 0)
        sent = logged(
            database, *(message(name) for name in ("customer-1", "order-1", "other-1", "customer-2", "order-1"))
        )
        places = [each.global_position for each in sent]
        with transaction(database) as tx:
            assert tx.rebuilding.head() == places[-1]
            assert (tx.rebuilding.count(["customer", "order"]), tx.rebuilding.count(["nobody"])) == (4, 0)
            assert tx.rebuilding.read(["order", "customer"], 0, places[-1], 9) == [sent[0], sent[1], sent[3], sent[4]]
            assert tx.rebuilding.read(["order", "customer"], places[0], places[3], 9) == [sent[1], sent[3]]
            assert tx.rebuilding.read(["order", "customer"], 0, places[-1], 2) == sent[:2]
            assert tx.rebuilding.read([], 0, places[-1], 9) == []

    def test_a_stream_that_lacks_what_was_applied_is_told(self, database: Database) -> None:
        append(database, message("customer-1"), message("customer-2"), message("customer-2"))
        place(database, H, {"customer-1": 0, "customer-2": 5, "customer-9": 0})
        place(database, "Another", {"customer-1": 7})
        with transaction(database) as tx:
            assert tx.rebuilding.incomplete(["customer"], [H], 9) == ["customer-2", "customer-9"]
            assert tx.rebuilding.incomplete(["customer"], [H, "Another"], 9) == [
                "customer-1",
                "customer-2",
                "customer-9",
            ]
            assert len(tx.rebuilding.incomplete(["customer"], [H, "Another"], 2)) == 2
            assert tx.rebuilding.incomplete(["customer"], ["Nobody"], 9) == []

    def test_how_far_a_handler_is_behind_is_told(self, database: Database) -> None:
        interest = Interest(H, True, ("customer",), ("CustomerRegistered",))
        with transaction(database) as tx:
            assert tx.rebuilding.behind(interest) == Behind(0, None, 0)
        append(database, message("customer-1"), message("customer-1"), message("customer-2"), message("order-1"))
        place(database, H, {"customer-1": 0, "customer-2": -1}, "customer-2")
        with transaction(database) as tx:
            assert tx.rebuilding.behind(interest) == Behind(2, NOON, 1)
            assert tx.rebuilding.behind(replace(interest, types=("CustomerMoved",))) == Behind(0, None, 1)

    # Positions

    def test_who_has_a_position_is_waited_for_and_nobody_gets_one_meanwhile(
        self, database: Database, elsewhere: Elsewhere
    ) -> None:
        def exclude() -> None:
            with transaction(database) as tx:
                tx.rebuilding.exclude([H, "Another"], 10.0)

        handling = database.transaction()
        handling.positions.lock(H, ["customer-1"])
        excluding = elsewhere.start(exclude)
        assert elsewhere.waits(excluding)
        handling.commit()
        excluding.result(timeout=20)

        alone = database.transaction()
        alone.rebuilding.exclude([H], 10.0)
        locking = elsewhere.start(stands, database, H, "customer-2")
        assert elsewhere.waits(locking)
        alone.commit()
        assert locking.result(timeout=20) == [Position(-1, False)]

    def test_a_handler_takes_over_where_its_stand_in_is_further(self, database: Database) -> None:
        place(database, H, {"a": 5, "b": 2, "c": 1}, "b", "c")
        place(database, STAND_IN, {"a": 3, "b": 4, "c": 1, "d": 0})
        with transaction(database) as tx:
            assert tx.rebuilding.unblocked(H, STAND_IN) == ["b"]
            assert tx.rebuilding.take_over(H, STAND_IN) == 2
        expected = [Position(5, False), Position(4, False), Position(1, True), Position(0, False)]
        assert stands(database, H, "a", "b", "c", "d") == expected
        with transaction(database) as tx:
            tx.rebuilding.forget(STAND_IN)
        assert stands(database, STAND_IN, "a", "b") == [Position(-1, False)] * 2
        assert stands(database, H, "a") == [Position(5, False)]

    # Tables

    def test_the_shadow_takes_the_tables_place_with_its_rules_at_the_commit(self, database: Database) -> None:
        write(database, customer("old", email="a@b"), customer("both", name="before"))
        database.shadows.make(CUSTOMER, SHADOW)
        assert names(database, SHADOW) == []
        anew = [Insert(SHADOW, customer(key, email=f"{key}@b").values) for key in ("new", "both")]
        write(database, *anew)
        assert names(database) == ["both", "old"]

        given_up = database.transaction()
        given_up.rebuilding.exchange(CUSTOMER, SHADOW, 5.0)
        given_up.rollback()
        assert (names(database), names(database, SHADOW)) == (["both", "old"], ["both", "new"])

        with transaction(database) as tx:
            tx.rebuilding.exchange(CUSTOMER, SHADOW, 5.0)
        assert names(database) == ["both", "new"]
        write(database, customer("later", email="a@b"))  # of a row that is gone
        with pytest.raises(TakenError):
            write(database, customer("taken", email="new@b"))
        with pytest.raises(TakenError):
            write(database, customer("new"))
        database.shadows.drop(SHADOW)

    def test_a_shadow_is_made_anew_and_dropped_as_often_as_one_likes(self, database: Database) -> None:
        for _ in range(2):
            database.shadows.make(CUSTOMER, SHADOW)
            assert names(database, SHADOW) == []
            write(database, Insert(SHADOW, customer("x", email="x@b").values))
        database.shadows.drop(SHADOW)
        database.shadows.drop(SHADOW)
        with pytest.raises(DatabaseError):
            names(database, SHADOW)

    def test_of_a_table_that_is_not_there_no_shadow_is_made(self, database: Database) -> None:
        with pytest.raises(TableMissingError):
            database.shadows.make(replace(CUSTOMER, name="nowhere"), SHADOW)
