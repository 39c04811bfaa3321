"""Entities are loaded, saved and removed with their aggregate; on every database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.shop import Shop, open_shop

from protean import UnitOfWork
from protean.adapters.memory.rows import MemoryRows
from protean.adapters.sql.rows import SqlRows
from protean.elements.state import state_of
from protean.exceptions import (
    ConfigurationError,
    ExpectedVersionError,
    InvalidOperationError,
    ObjectNotFoundError,
    TakenError,
    ValidationError,
)
from protean.ports.query import Lookup, Query, Where
from protean.write import storing


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    uris = {"memory": "", "sqlite": f"sqlite:///{tmp_path / 'shop.db'}"}
    uri = uris.get(request.param)
    uri = request.getfixturevalue("database_url") if uri is None else uri
    config = {
        "databases": {"default": {"provider": request.param, "database_uri": uri}},
        "brokers": {"default": {"provider": "memory"}},
        "event_processing": "async",
    }
    with open_shop(config) as opened:
        yield opened


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the database is asked for, by method of its rows."""
    made: list[str] = []
    inside: list[str] = []  # one method may use another; that is one statement

    def counted(cls: type, name: str) -> None:
        method: Any = getattr(cls, name)

        def count(self: Any, *arguments: Any) -> Any:
            made.extend([name] if not inside else [])
            inside.append(name)
            try:
                return method(self, *arguments)
            finally:
                inside.pop()

        monkeypatch.setattr(cls, name, count)

    for cls in (MemoryRows, SqlRows):
        for name in ("select", "get", "get_many", "count", "delete_where", "write"):
            counted(cls, name)
    return made


def test_an_object_comes_back_with_all_its_parts(shop: Shop) -> None:
    order = shop.Order(id="o", note="n", shipping=shop.Address(city="Ulm"), customer_id="c")
    order.lines.append(shop.Line(sku="a", discounts=[shop.Discount(percent=5), shop.Discount(percent=1)]))
    order.lines.append(shop.Line(sku="b", quantity=3))
    shop.orders.add(order)
    again = shop.orders.get("o")
    assert state_of(again) == state_of(order)
    assert [discount.percent for discount in again.lines[0].discounts] == [5, 1]
    assert (again.shipping.city, again.billing, again.customer_id) == ("Ulm", None, "c")
    assert (again.lines[1].order_id, again._version) == ("o", 0)
    assert [state_of(found) for found in shop.orders.query] == [state_of(order)]


def test_changes_in_place_are_seen_without_a_word(shop: Shop) -> None:
    shop.order("o", "a", "b", "c")
    with UnitOfWork():
        order = shop.orders.get("o")
        order.lines[0].quantity = 7
        order.lines[1].discounts.append(shop.Discount(percent=2))
        del order.lines[2]
        order.lines.insert(1, shop.Line(id="oz", sku="z"))
    order = shop.orders.get("o")
    assert [(line.sku, line.quantity, len(line.discounts)) for line in order.lines] == [
        ("a", 7, 0),
        ("z", 1, 0),
        ("b", 1, 1),
    ]
    assert order._version == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda shop, order: setattr(order.lines[0], "sku", "x"),
        lambda shop, order: order.lines.append(shop.Line(sku="x")),
        lambda shop, order: order.lines.pop(),
        lambda shop, order: order.lines.reverse(),
        lambda shop, order: order.lines[0].discounts.append(shop.Discount(percent=1)),
        lambda shop, order: setattr(order, "billing", shop.Address(city="x")),
    ],
)
def test_a_change_of_a_part_is_a_change_of_its_aggregate(shop: Shop, change: Callable[[Shop, Any], None]) -> None:
    shop.order("o", "a", "b")
    order = shop.orders.get("o")
    change(shop, order)
    shop.orders.add(order)
    assert (order._version, shop.version("o")) == (1, 1)
    assert state_of(shop.orders.get("o")) == state_of(order)
    shop.orders.add(order)
    assert shop.version("o") == 1, "nothing was changed, and nothing is written"


def test_of_two_who_change_different_parts_one_is_refused(shop: Shop) -> None:
    shop.order("o", "a", "b")
    one, two = shop.orders.get("o"), shop.orders.get("o")
    one.lines[0].quantity = 2
    two.lines[1].quantity = 3
    shop.orders.add(one)
    with pytest.raises(ExpectedVersionError):
        shop.orders.add(two)
    assert [line.quantity for line in shop.orders.get("o").lines] == [2, 1]


def test_only_what_differs_is_written(shop: Shop, statements: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    shop.order("o", "a", "b", "c", "d")
    written: list[Any] = []
    for cls in (MemoryRows, SqlRows):
        method: Any = cls.write

        def write(self: Any, changes: Any, method: Any = method) -> None:
            written.extend(changes)
            method(self, changes)

        monkeypatch.setattr(cls, "write", write)
    order = shop.orders.get("o")
    order.lines.insert(0, order.lines.pop())
    order.lines[1].quantity = 2
    shop.orders.add(order)
    assert [(type(change).__name__, change.table.name, dict(change.values)) for change in written] == [
        ("Update", "order", {"_version": 1}),
        ("Update", "order_line", {"_position": -1}),
        ("Update", "order_line", {"quantity": 2}),
    ]
    assert shop.skus("o") == "dabc"


def test_two_fields_of_one_class_do_not_mix(shop: Shop) -> None:
    order = shop.Order(id="o", billing=shop.Address(city="Ulm"), shipping=shop.Address(city="Rom"))
    shop.orders.add(order)
    order = shop.orders.get("o")
    assert (order.billing.city, order.shipping.city) == ("Ulm", "Rom")
    order.billing, order.shipping = None, shop.Address(city="Bonn")
    shop.orders.add(order)
    order = shop.orders.get("o")
    assert (order.billing, order.shipping.city) == (None, "Bonn")
    assert [row["city"] for row in shop.rows("address")] == ["Bonn"]


def test_rows_from_before_a_second_field_are_the_firsts_and_without_a_place_they_are_last(shop: Shop) -> None:
    tasks = [shop.Task(id=name, name=name) for name in "abc"]
    shop.boards.add(shop.Board(id="b", open=tasks[:2], done=tasks[2:]))
    table = next(each for each in shop.domain.tables["default"] if each.name == "task")
    transaction = shop.domain.database().transaction()
    transaction.rows.update_where(Query(Where("id", Lookup.EXACT, "a")), table, {"_position": None})
    transaction.rows.update_where(Query(Where("id", Lookup.EXACT, "c")), table, {"_field": None, "_position": 7})
    transaction.commit()
    board = shop.boards.get("b")
    assert ([task.id for task in board.open], board.done) == (["b", "c", "a"], [])


def test_a_part_moves_between_lists_and_levels_and_stays_the_same_row(shop: Shop) -> None:
    tasks = [shop.Task(id=name, name=name) for name in "abc"]
    shop.boards.add(shop.Board(id="x", open=tasks))
    board = shop.boards.get("x")
    board.done.append(board.open.pop(1))
    board.open[0].steps.append(board.open.pop())
    shop.boards.add(board)
    board = shop.boards.get("x")
    names = [[task.name for task in tasks] for tasks in (board.open, board.done, board.open[0].steps)]
    assert names == [["a"], ["b"], ["c"]]
    assert [(row["id"], row["board_id"], row["task_id"]) for row in shop.rows("task")] == [
        ("a", "x", None),
        ("b", "x", None),
        ("c", None, "a"),
    ]


def test_a_list_is_replaced_and_cleared(shop: Shop) -> None:
    shop.order("o", "a", "b", "c")
    order = shop.orders.get("o")
    order.lines = [shop.Line(sku="x"), order.lines[2], order.lines[0]]
    shop.orders.add(order)
    assert shop.skus("o") == "xca"
    order = shop.orders.get("o")
    order.lines.clear()
    shop.orders.add(order)
    assert (shop.skus("o"), shop.rows("order_line")) == ("", [])


def test_removing_the_aggregate_removes_everything_of_it_and_nothing_else(shop: Shop) -> None:
    for name in ("o", "p"):
        order = shop.order(name, "a", "b")
        order.lines[0].discounts.append(shop.Discount(id=name, percent=1))
        order.billing = shop.Address(id=name, city="Ulm")
        shop.orders.add(order)
    shop.orders.remove(shop.orders.get("o"))
    with pytest.raises(ObjectNotFoundError):
        shop.orders.get("o")
    assert [row["order_id"] for row in shop.rows("order_line")] == ["p", "p"]
    assert [row["id"] for row in (*shop.rows("discount"), *shop.rows("address"))] == ["p", "p"]


def test_deleting_by_query_deletes_the_parts_of_what_matches_and_no_others(shop: Shop) -> None:
    for name in ("o", "p", "q"):
        order = shop.order(name, "a")
        order.note = "old" if name != "p" else "new"
        order.lines[0].discounts.append(shop.Discount(id=name, percent=1))
        shop.orders.add(order)
    assert shop.orders.query.filter(note="old").delete() == 2
    assert [row["order_id"] for row in shop.rows("order_line")] == ["p"]
    assert [row["id"] for row in shop.rows("discount")] == ["p"]


def test_an_identity_in_two_places_of_one_aggregate_is_refused(shop: Shop) -> None:
    board = shop.Board(open=[shop.Task(id="t", name="a")], done=[shop.Task(id="t", name="b")])
    with pytest.raises(ValidationError) as caught:
        shop.boards.add(board)
    assert list(caught.value.messages) == ["done"]
    assert "Task 't', item 0 of `done`, is somewhere else in this object too" in str(caught.value)
    assert shop.rows("task") == []


def test_an_identity_that_another_aggregate_has_is_taken(shop: Shop) -> None:
    shop.order("o", "a")
    with pytest.raises(TakenError) as caught:
        shop.orders.add(shop.Order(id="p", lines=[shop.Line(id="oa", sku="b")]))
    assert caught.value.messages == {"lines": ["id is already taken"]}
    assert shop.orders.get_or_none("p") is None


def test_what_is_unique_is_reported_by_its_fields(shop: Shop) -> None:
    customers = shop.domain.repository_for(shop.Customer)
    customers.add(shop.Customer(email="a@b.c"))
    with pytest.raises(TakenError) as caught:
        customers.add(shop.Customer(email="a@b.c"))
    assert (caught.value.messages, caught.value.table) == ({"email": ["is already taken"]}, "customer")
    shop.orders.add(shop.Order(id="o", shop="x", number=1, lines=[shop.Line(sku="a", serial="s")]))
    shop.orders.add(shop.Order(shop="x", number=2))
    shop.orders.add(shop.Order(shop="x"))
    shop.orders.add(shop.Order(shop="x"))
    with pytest.raises(TakenError) as caught:
        shop.orders.add(shop.Order(shop="x", number=1))
    assert caught.value.messages == {
        "shop": ["is already taken together with number"],
        "number": ["is already taken together with shop"],
    }
    with pytest.raises(TakenError) as caught:
        shop.orders.add(shop.Order(lines=[shop.Line(sku="a", serial="s")]))
    assert caught.value.messages == {"lines": ["serial is already taken"]}
    with pytest.raises(TakenError) as caught:
        shop.orders.query.filter(number=2).update(number=1)
    assert set(caught.value.messages) == {"shop", "number"}


def test_what_is_unique_passes_from_one_part_to_another_in_one_save(shop: Shop) -> None:
    shop.orders.add(shop.Order(id="o", lines=[shop.Line(sku="a", serial="s")]))
    order = shop.orders.get("o")
    order.lines = [shop.Line(sku="b", serial="s")]
    shop.orders.add(order)
    assert shop.skus("o") == "b"


def test_a_part_spoilt_in_place_is_refused_and_named(shop: Shop) -> None:
    order = shop.order("o", "a")
    list.append(order.lines, shop.Address(city="Ulm"))
    with pytest.raises(ValidationError, match="lines: item 1: must be an instance of Line, not Address"):
        shop.orders.add(order)
    assert shop.skus("o") == "a"


def test_an_entity_has_no_repository_and_fits_into_no_other(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match="Line is an entity, loaded and saved with the Order that has it"):
        shop.domain.repository_for(shop.Line)
    with pytest.raises(InvalidOperationError, match="put it into a field of the Order"):
        shop.orders.add(shop.Line(sku="a"))
    with pytest.raises(InvalidOperationError, match="keeps objects of Order, not Board"):
        shop.orders.add(shop.Board())


def test_events_of_entities_are_written_with_their_aggregate(shop: Shop) -> None:
    order = shop.order("o", "a")
    order.lines[0].ship()
    shop.orders.add(order)
    transaction = shop.domain.database().transaction()
    told = [message.type for message in transaction.log.read("order-o", -1, 10)]
    transaction.rollback()
    assert told == ["Shipped"]


def test_what_is_flushed_before_a_query_is_written_once(shop: Shop) -> None:
    with UnitOfWork():
        order = shop.order("o", "a")
        assert shop.orders.query.count() == 1
        order.lines.append(shop.Line(sku="b"))
        assert [found is order for found in shop.orders.query] == [True]
        order.lines[0].sku = "c"
    assert shop.skus("o") == "cb"


def test_a_failed_save_can_be_repeated_whole(shop: Shop) -> None:
    shop.orders.add(shop.Order(id="x", lines=[shop.Line(sku="a", serial="s")]))
    order = shop.Order(id="o", lines=[shop.Line(sku="a"), shop.Line(sku="b", serial="s")])
    with pytest.raises(TakenError):
        shop.orders.add(order)
    order.lines[1].serial = "t"
    shop.orders.add(order)
    assert (shop.skus("o"), order._version) == ("ab", 0)


def test_a_bulk_update_leaves_the_lists_in_hand_in_force(shop: Shop) -> None:
    shop.order("o", "a")
    with UnitOfWork():
        lines = (order := shop.orders.get("o")).lines
        shop.orders.query.update(note="n")
        lines.append(shop.Line(sku="b"))
        assert order.note == "n"
    assert shop.skus("o") == "ab"


def test_parts_are_never_those_of_another_version_than_their_aggregate(shop: Shop) -> None:
    """A writer keeps the note equal to the number of lines; no reader ever sees them differ."""
    shop.orders.add(shop.Order(id="o", note="0"))
    done = threading.Event()

    def write() -> None:
        with shop.domain.domain_context():
            for number in range(1, 41):
                order = shop.orders.get("o")
                order.lines.append(shop.Line(sku="a"))
                order.note = str(number)
                shop.orders.add(order)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    torn: list[tuple[str, int]] = []
    while not done.is_set() and writer.is_alive():
        read = [(order.note, len(order.lines)) for order in (shop.orders.get("o"), *shop.orders.query)]
        torn += [(note, lines) for note, lines in read if note != str(lines)]
    writer.join(60)
    assert (torn, done.is_set(), len(shop.orders.get("o").lines)) == ([], True, 40)


@pytest.mark.parametrize("shop", ["postgresql"], indirect=True)  # elsewhere nobody writes between two statements
def test_what_is_removed_while_it_is_read_with_its_parts_does_not_come(
    shop: Shop, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("o", "p"):
        shop.order(name, "a")
    with_parts = storing.with_parts

    def meanwhile(*arguments: Any) -> Any:
        execute(database_url, """DELETE FROM "order" WHERE id = 'o'""")
        return with_parts(*arguments)

    monkeypatch.setattr(storing, "with_parts", meanwhile)
    assert [(order.id, len(order.lines)) for order in shop.orders.query] == [("p", 1)]


@pytest.mark.parametrize("shop", ["postgresql"], indirect=True)  # as above
def test_what_no_longer_matches_when_it_would_be_deleted_keeps_its_parts(
    shop: Shop, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("o", "p"):
        shop.order(name, "a")
        shop.orders.query.filter(id=name).update(note="old")
    delete_where = SqlRows.delete_where

    def meanwhile(*arguments: Any) -> int:
        execute(database_url, """UPDATE "order" SET note = 'new' WHERE id = 'o'""")
        return delete_where(*arguments)

    monkeypatch.setattr(SqlRows, "delete_where", meanwhile)
    assert shop.orders.query.filter(note="old").delete() == 1
    assert [(order.id, len(order.lines)) for order in shop.orders.query] == [("o", 1)]
    assert [row["order_id"] for row in shop.rows("order_line")] == ["o"]


def execute(database_url: str, statement: str) -> None:
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement.encode())


def test_10_000_objects_with_3_parts_each_take_a_bounded_number_of_statements(
    shop: Shop, statements: list[str]
) -> None:
    with UnitOfWork():
        for number in range(10_000):
            shop.orders.add(shop.Order(id=f"{number:05}", lines=[shop.Line(sku=sku) for sku in "abc"]))
    statements.clear()
    read = [len(order.lines) for order in shop.orders.query]
    assert read == [3] * 10_000
    # 21 pages: the orders, their lines, the lines' discounts, the addresses, and the orders' versions once more.
    assert len(statements) <= 21 * 5


def test_loading_many_by_identity_takes_as_many_statements_as_loading_one(shop: Shop, statements: list[str]) -> None:
    for name in "opqr":
        shop.order(name, "a", "b")
    statements.clear()
    with UnitOfWork() as unit:
        unit.preload(shop.Order, list("opqr"))
        assert [len(shop.orders.get(name).lines) for name in "opqr"] == [2] * 4
    assert len([name for name in statements if name != "write"]) == 5
