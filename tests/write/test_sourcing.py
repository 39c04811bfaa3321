"""Event-sourced aggregates: saved by appending, loaded by replaying; on every database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal as Money
from pathlib import Path
from typing import Any

import pytest
from tests.support.orders import Orders, Standing, build_orders, state

from protean import UnitOfWork
from protean.elements.aggregate import raised_events
from protean.exceptions import (
    ExpectedVersionError,
    HistoryRemovedError,
    InvalidOperationError,
    NotSupportedError,
    ObjectNotFoundError,
    UnknownTypeError,
    ValidationError,
)

THRESHOLD = 5


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The configuration of a database of this test's own, with nobody delivering."""
    uris = {"memory": "", "sqlite": f"sqlite:///{tmp_path / 'orders.db'}"}
    uri = uris.get(request.param)
    if uri is None:
        uri = request.getfixturevalue("database_url")
    return {
        "databases": {"default": {"provider": request.param, "database_uri": uri}},
        "brokers": {"default": {"provider": "memory"}},
        "event_processing": "async",
        "event_store": {"snapshot_threshold": THRESHOLD},
    }


@pytest.fixture
def orders(config: dict[str, Any]) -> Iterator[Orders]:
    built = build_orders(config)
    with built.domain.domain_context():
        yield built
    built.domain.close()


def test_what_is_loaded_is_what_its_events_made_of_it(orders: Orders) -> None:
    orders.place("1")
    orders.add("1", "1.50")
    orders.add("1", "2.25", sku="ink")
    order = orders.repo.get("1")
    assert (order.customer, order.total, order.standing) == ("Ann", Money("3.75"), Standing.OPEN)
    assert (order.lines, order.per_sku) == (["pen", "ink"], {"pen": 1, "ink": 1})
    assert order.placed_at == datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert order._version == 2
    assert [(each.type, each.position) for each in orders.stream("1")] == [
        ("OrderPlaced", 0), ("LineAdded", 1), ("LineAdded", 2),
    ]  # fmt: skip


def test_it_has_no_table(orders: Orders) -> None:
    assert [table.name for table in orders.domain.tables["default"]] == ["snapshots"]


def test_raising_applies_at_once_and_counts_as_saved_only_afterwards(orders: Orders) -> None:
    order = orders.Order(order_id="1", customer="Ann")
    order.raise_(orders.Placed(order_id="1", customer="Bob", at=datetime.now(UTC)))
    assert (order.customer, order._version) == ("Bob", -1)
    orders.repo.add(order)
    assert (order._version, raised_events(order)) == (0, ())
    assert state(orders.repo.get("1")) == state(order)


def test_several_events_and_several_saves_of_one_object_continue_each_other(orders: Orders) -> None:
    orders.place("1")
    order = orders.repo.get("1")
    for number in range(3):
        order.raise_(orders.Added(order_id="1", sku=f"a{number}", price=Money(1)))
        order.raise_(orders.Added(order_id="1", sku=f"b{number}", price=Money(1)))
        orders.repo.add(order)
    assert order._version == 6
    assert state(orders.repo.get("1")) == state(order)


def test_of_two_writers_the_second_is_told_and_nothing_of_it_is_kept(orders: Orders) -> None:
    orders.place("1")
    mine, yours = orders.repo.get("1"), orders.repo.get("1")
    for order in (mine, yours):
        order.raise_(orders.Added(order_id="1", sku="pen", price=Money(1)))
    orders.repo.add(mine)
    with pytest.raises(ExpectedVersionError, match=r"Order '1' is no longer at version 0"):
        orders.repo.add(yours)
    assert [each.position for each in orders.stream("1")] == [0, 1]
    assert len(raised_events(yours)) == 1


def test_commands_that_lose_the_race_are_repeated_until_all_have_won(
    orders: Orders, together: Callable[..., None]
) -> None:
    orders.place("1")

    def add_five() -> None:
        with orders.domain.domain_context():
            for _ in range(5):
                orders.add("1", "1")

    together(add_five, add_five, add_five, add_five)
    order = orders.repo.get("1")
    assert (order.count, order.total, order._version) == (20, Money(20), 20)
    assert [each.position for each in orders.stream("1")] == list(range(21))


def test_a_taken_identity_is_a_validation_error_as_it_is_for_rows(orders: Orders) -> None:
    orders.place("1")
    with pytest.raises(ValidationError) as caught:
        orders.place("1", "Bob")
    assert caught.value.messages == {"order_id": ["is already taken"]}
    assert orders.repo.get("1").customer == "Ann"


def test_an_error_leaves_nothing_behind_and_the_object_can_be_saved_again(orders: Orders) -> None:
    order = orders.Order(order_id="1", customer="Ann")
    order.raise_(orders.Placed(order_id="1", customer="Ann", at=datetime.now(UTC)))

    def fail() -> None:
        with UnitOfWork():
            orders.repo.add(order)
            orders.place("2")
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError):
        fail()
    assert (orders.stream("1"), orders.stream("2")) == ([], [])
    orders.repo.add(order)
    assert state(orders.repo.get("1")) == state(order)


def test_a_unit_of_work_sees_what_it_has_written(orders: Orders) -> None:
    with UnitOfWork():
        orders.place("1")
        orders.add("1")
        assert orders.repo.get("1").count == 1
        assert orders.repo.exists(order_id="1")
        assert [each.position for each in orders.stream("1")] == [0, 1]
        orders.add("1")
    assert orders.repo.get("1").count == 2


def test_loading_and_saving_without_an_event_writes_nothing(orders: Orders) -> None:
    orders.place("1")
    orders.repo.add(orders.repo.get("1"))
    assert len(orders.stream("1")) == 1


def test_a_new_one_that_nothing_has_happened_to_cannot_be_saved(orders: Orders) -> None:
    with pytest.raises(InvalidOperationError, match=r"Order '1' has raised no event"):
        orders.repo.add(orders.Order(order_id="1", customer="Ann"))


def test_what_no_event_says_is_refused_at_once_or_at_the_latest_when_saving(orders: Orders) -> None:
    orders.place("1")
    order = orders.repo.get("1")
    with pytest.raises(InvalidOperationError, match=r"Order\.customer cannot be set to 'Bob' here"):
        order.customer = "Bob"
    order.lines.append("smuggled")
    with pytest.raises(InvalidOperationError, match=r"`lines` is \['smuggled'\], and would be \[\]"):
        orders.repo.add(order)
    born = orders.Order(order_id="2", customer="Ann", count=7)
    born.raise_(orders.Placed(order_id="2", customer="Ann", at=datetime.now(UTC)))
    with pytest.raises(InvalidOperationError, match="`count` is 7, and would be 0 when its events are replayed"):
        orders.repo.add(born)
    assert orders.stream("2") == []


def test_there_is_nothing_to_query_and_nothing_to_remove(orders: Orders) -> None:
    orders.place("1")
    for ask in (
        lambda: orders.repo.query,
        lambda: orders.repo.find(customer="Ann"),
        lambda: orders.repo.find_by(customer="Ann"),
        lambda: orders.repo.exists(customer="Ann"),
    ):
        with pytest.raises(NotSupportedError, match="keep a projection of its events"):
            ask()
    with pytest.raises(NotSupportedError, match="its history stays"):
        orders.repo.remove(orders.repo.get("1"))
    assert orders.repo.exists(order_id="1")
    assert not orders.repo.exists(order_id="2")
    assert orders.repo.get_or_none("2") is None
    with pytest.raises(ObjectNotFoundError, match="there is no Order with identity '2'"):
        orders.repo.get("2")


def test_an_unknown_event_is_named_with_its_place(orders: Orders, config: dict[str, Any]) -> None:
    if config["databases"]["default"]["provider"] == "memory":
        pytest.skip("another process's events cannot get there")  # a memory database is one process's
    orders.place("1")
    newer = build_orders(config)
    event = orders.stream("1")[0]
    del newer.domain.registry._elements["OrderPlaced"]
    newer.domain.registry._compiled.messages.pop("OrderPlaced")
    with pytest.raises(UnknownTypeError, match="'OrderPlaced'") as caught:
        newer.repo.get("1")
    newer.domain.close()
    assert caught.value.__notes__ == [f"while {event.type} at position 0 of order-1 was replayed"]


def test_a_hole_in_the_history_is_an_error_and_no_other_state(orders: Orders, config: dict[str, Any]) -> None:
    orders.place("1")
    orders.add("1")
    orders.add("1")
    database: Any = orders.domain.database()
    transaction = database.transaction()
    if config["databases"]["default"]["provider"] == "memory":
        pytest.skip("nothing can be taken out of this log")
    transaction._session = transaction.log._session
    transaction.log._session.send("DELETE FROM messages WHERE stream_name = %s AND position = %s", ("order-1", 1))
    transaction.commit()
    with pytest.raises(HistoryRemovedError, match="order-1 lacks position 1"):
        orders.repo.get("1")


# Snapshots


def snapshots(orders: Orders) -> dict[str, int]:
    from protean.ports.query import Query
    from protean.write.snapshots import SNAPSHOTS

    transaction = orders.domain.database().transaction()
    try:
        return {row["stream_name"]: row["position"] for row in transaction.rows.select(Query(), SNAPSHOTS)}
    finally:
        transaction.rollback()


def test_a_snapshot_is_written_with_the_events_that_make_it_due_and_one_is_kept(orders: Orders) -> None:
    orders.place("1")
    for _ in range(3):
        orders.add("1")
    assert snapshots(orders) == {}
    orders.add("1")
    assert snapshots(orders) == {"order-1": 4}
    for _ in range(6):
        orders.add("1")
    assert snapshots(orders) == {"order-1": 9}
    order = orders.repo.get("1")
    assert (order.count, order._version, order.standing) == (10, 10, Standing.OPEN)
    assert (order.total, order.placed_at) == (Money("15.00"), datetime(2030, 1, 1, 12, tzinfo=UTC))


def test_loading_from_a_snapshot_reads_only_what_came_after(orders: Orders) -> None:
    orders.place("1")
    for _ in range(6):
        orders.add("1")
    database: Any = orders.domain.database()
    read: list[int] = []
    transaction = database.transaction()
    plain = type(transaction.log).read

    def counting(log: Any, stream_name: str, after: int, limit: int) -> Any:
        read.append(after)
        return plain(log, stream_name, after, limit)

    transaction.rollback()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(transaction.log), "read", counting)
        assert orders.repo.get("1").count == 6
    assert read == [4]


def test_a_snapshot_of_another_layout_is_ignored_and_replaced(orders: Orders, config: dict[str, Any]) -> None:
    from protean.ports.rows import Update
    from protean.write.snapshots import SNAPSHOTS

    orders.place("1")
    for _ in range(4):
        orders.add("1")
    transaction = orders.domain.database().transaction()
    wrong = {"layout": "0" * 64, "data": '{"dict":{"customer":"Mallory"}}'}
    transaction.rows.write([Update(SNAPSHOTS, "order-1", wrong)])
    transaction.commit()
    order = orders.repo.get("1")
    assert (order.customer, order.count) == ("Ann", 4)
    orders.add("1")
    assert snapshots(orders) == {"order-1": 5}
    assert orders.repo.get("1").count == 5


def test_a_snapshot_can_be_taken_at_any_time_and_of_all_at_once(orders: Orders) -> None:
    for number in range(3):
        orders.place(str(number))
    orders.add("1")
    assert orders.domain.create_snapshot(orders.Order, "1") == 1
    assert snapshots(orders) == {"order-1": 1}
    assert sorted(orders.domain.create_snapshots(orders.Order)) == [0, 0, 1]
    assert snapshots(orders) == {"order-0": 0, "order-1": 1, "order-2": 0}
    with pytest.raises(ObjectNotFoundError):
        orders.domain.create_snapshot(orders.Order, "9")


def test_a_snapshot_that_is_asked_for_is_of_the_events_and_not_of_the_last_one(orders: Orders) -> None:
    from protean.ports.rows import Update
    from protean.write.snapshots import SNAPSHOTS

    orders.place("1")
    orders.domain.create_snapshot(orders.Order, "1")
    transaction = orders.domain.database().transaction()
    row = transaction.rows.get(SNAPSHOTS, "order-1")
    assert row is not None
    transaction.rows.write([Update(SNAPSHOTS, "order-1", {"data": row["data"].replace("Ann", "Eve")})])
    transaction.commit()
    assert orders.repo.get("1").customer == "Eve"
    orders.domain.create_snapshot(orders.Order, "1")
    assert orders.repo.get("1").customer == "Ann"


# The past


def test_an_order_is_shown_as_it_was_at_every_version(orders: Orders) -> None:
    orders.place("1")
    lived = [state(orders.repo.get("1"))]
    for number in range(8):
        orders.add("1", sku=f"sku {number}")
        lived.append(state(orders.repo.get("1")))
    assert [state(orders.repo.get("1", at_version=version)) for version in range(9)] == lived
    assert orders.repo.get("1", at_version=3)._version == 3
    with pytest.raises(ObjectNotFoundError, match="identity '1' and version 9"):
        orders.repo.get("1", at_version=9)
    assert orders.repo.get_or_none("2", at_version=0) is None


def test_an_order_is_shown_as_it_was_at_a_moment(orders: Orders) -> None:
    before = datetime.now(UTC)
    orders.place("1")
    for _ in range(6):
        orders.add("1")
    third = orders.stream("1")[3].time
    assert orders.repo.get("1", as_of=third).count == 3
    assert orders.repo.get("1", as_of=third - timedelta(microseconds=1)).count == 2
    assert orders.repo.get("1", as_of=datetime.now(UTC)).count == 6
    assert orders.repo.get_or_none("1", as_of=before) is None
    with pytest.raises(ObjectNotFoundError, match="at 2"):
        orders.repo.get("1", as_of=before)


def test_the_past_cannot_be_changed(orders: Orders) -> None:
    orders.place("1")
    orders.add("1")
    past = orders.repo.get("1", at_version=0)
    for change in (
        lambda: orders.repo.add(past),
        lambda: past.raise_(orders.Closed(order_id="1")),
        lambda: setattr(past, "customer", "Bob"),
    ):
        with pytest.raises(InvalidOperationError, match=r"shows the past \(version 0\)"):
            change()
    with UnitOfWork():
        assert orders.repo.get("1", at_version=0).count == 0
        assert orders.repo.get("1").count == 1


@pytest.mark.parametrize(
    ("moment", "error"),
    [
        ({"at_version": -1}, ValidationError),
        ({"at_version": True}, ValidationError),
        ({"at_version": "1"}, ValidationError),
        ({"as_of": datetime(2030, 1, 1)}, ValidationError),  # noqa: DTZ001  # the point
        ({"as_of": "today"}, ValidationError),
        ({"as_of": datetime(2030, 1, 1, tzinfo=UTC), "at_version": 1}, InvalidOperationError),
    ],
)
def test_moments_that_cannot_be_meant_are_refused(orders: Orders, moment: Any, error: type[Exception]) -> None:
    orders.place("1")
    with pytest.raises(error):
        orders.repo.get("1", **moment)


def test_rows_have_no_past(config: dict[str, Any]) -> None:
    kept = build_orders(config, sourced=False)
    with kept.domain.domain_context():
        kept.place("1")
        for moment in ({"at_version": 0}, {"as_of": datetime.now(UTC)}):
            with pytest.raises(NotSupportedError, match="Order is kept as it is, not as it was"):
                kept.repo.get("1", **moment)
    kept.domain.close()


# Facts


@pytest.mark.parametrize("sourced", [True, False])
def test_every_save_tells_the_whole_state(config: dict[str, Any], sourced: bool) -> None:
    kept = build_orders({**config, "event_processing": "sync"}, sourced=sourced, facts=True)
    with kept.domain.domain_context():
        kept.place("1")
        kept.add("1", "2.50")
        kept.repo.add(kept.repo.get("1"))
        told = kept.domain.event_store.read("order-fact-1")
        assert [(each.type, each.category, each.position) for each in told] == [
            ("OrderFactEvent", "order-fact", 0), ("OrderFactEvent", "order-fact", 1),
        ]  # fmt: skip
        assert [(fact.count, fact.total, fact.standing) for fact in kept.facts] == [
            (0, Money(0), Standing.OPEN), (1, Money("2.50"), Standing.OPEN),
        ]  # fmt: skip
        assert state(kept.facts[-1]) == state(kept.repo.get("1"))
        happened = kept.stream("1")
        assert [each.causation_id for each in told] == [each.causation_id for each in happened]
        assert [each.type for each in happened] == ["OrderPlaced", "LineAdded"]
    kept.domain.close()


@pytest.mark.parametrize("sourced", [True, False])
def test_a_save_that_fails_tells_nothing(config: dict[str, Any], sourced: bool) -> None:
    kept = build_orders(config, sourced=sourced, facts=True)
    with kept.domain.domain_context():
        kept.place("1")
        with pytest.raises(ValidationError):
            kept.place("1")
        assert len(kept.domain.event_store.read("order-fact-1")) == 1
        with pytest.raises(ValidationError, match="among order names the streams of facts"):
            kept.place("fact-1")
    kept.domain.close()


def test_a_changed_row_without_an_event_is_told_too(config: dict[str, Any]) -> None:
    kept = build_orders(config, sourced=False, facts=True)
    with kept.domain.domain_context():
        kept.place("1")
        order = kept.repo.get("1")
        order.customer = "Bob"
        kept.repo.add(order)
        assert [each.data["customer"] for each in kept.domain.event_store.read("order-fact-1")] == ["Ann", "Bob"]
        with UnitOfWork():
            order = kept.repo.get("1")
            order.customer = "Carl"
            kept.repo.remove(order)
        assert len(kept.domain.event_store.read("order-fact-1")) == 2
    kept.domain.close()
