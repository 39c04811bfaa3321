"""Whatever happens to an order: its replay, its row and the object in memory agree, on every database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.orders import Orders, build_orders, state

from protean import UnitOfWork
from protean.exceptions import ConfigurationError, ObjectNotFoundError, ValidationError

IDS = st.sampled_from(["1", "2", "3"])
DEEDS = st.one_of(
    st.tuples(st.just("place"), IDS, st.sampled_from(["Ann", "Bob"])),
    st.tuples(st.just("add"), IDS, st.decimals(min_value=0, max_value=100, places=2).map(str), st.sampled_from("ab")),
    st.tuples(st.just("close"), IDS),
    st.tuples(st.just("snapshot"), IDS),
    st.tuples(st.just("fail"), IDS),
)


def live(orders: Orders, deeds: list[tuple[str, ...]]) -> list[str]:
    """Do them one after the other; what each came to."""
    return [_outcome(orders, *deed) for deed in deeds]


def _outcome(orders: Orders, verb: str, order: str, *more: str) -> str:
    try:
        if verb == "snapshot":
            with suppress(Exception):  # rows have none
                orders.domain.create_snapshot(orders.Order, order)
        elif verb == "fail":
            _change_of_mind(orders, order)
        else:
            getattr(orders, verb)(order, *more)
    except (ObjectNotFoundError, ValidationError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def _change_of_mind(orders: Orders, order: str) -> None:
    with UnitOfWork():
        orders.add(order)
        raise RuntimeError("changed my mind")


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[bool], Orders]]:
    """Makes domains over one database, emptied each time."""
    uris = {"memory": "", "sqlite": f"sqlite:///{tmp_path / 'orders.db'}"}
    uri = uris.get(request.param)
    if uri is None:
        uri = request.getfixturevalue("database_url")
    built: dict[bool, Orders] = {}

    def build(sourced: bool) -> Orders:
        if sourced not in built:
            config = {
                "databases": {"default": {"provider": request.param, "database_uri": uri}},
                "brokers": {"default": {"provider": "memory"}},
                "event_processing": "async",
                "event_store": {"snapshot_threshold": 3},
            }
            built[sourced] = build_orders(config, sourced=sourced)
        orders = built[sourced]
        orders.domain.database().truncate(orders.domain.tables["default"])
        return orders

    yield build
    for orders in built.values():
        orders.domain.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(DEEDS, max_size=25))
def test_streams_and_rows_tell_the_same_history(fresh: Callable[[bool], Orders], deeds: list[tuple[str, ...]]) -> None:
    found: dict[bool, Any] = {}
    for sourced in (True, False):
        orders = fresh(sourced)
        with orders.domain.domain_context():
            outcomes = live(orders, deeds)
            states = {key: (order := orders.repo.get_or_none(key)) and state(order) for key in ("1", "2", "3")}
            streams = {key: [(each.type, each.data) for each in orders.stream(key)] for key in states}
        found[sourced] = outcomes, states, streams
    assert found[True] == found[False]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(DEEDS, max_size=25))
def test_a_replay_from_anywhere_is_what_was_lived(
    fresh: Callable[[bool], Orders], deeds: list[tuple[str, ...]]
) -> None:
    orders = fresh(True)
    lived: dict[tuple[str, int], dict[str, Any]] = {}
    with orders.domain.domain_context():
        for deed in deeds:
            _outcome(orders, *deed)
            order = orders.repo.get_or_none(deed[1])
            if order is not None:
                lived[deed[1], order._version] = state(order)
        for (key, version), expected in lived.items():
            assert state(orders.repo.get(key, at_version=version)) == expected


# Reading


@pytest.fixture
def orders(fresh: Callable[[bool], Orders]) -> Iterator[Orders]:
    built = fresh(True)
    with built.domain.domain_context():
        yield built


def test_a_stream_is_read_in_pages(orders: Orders) -> None:
    orders.place("1")
    orders.add("1")
    orders.add("1")
    store = orders.domain.event_store
    assert [each.position for each in store.read("order-1", limit=2)] == [0, 1]
    assert [each.position for each in store.read("order-1", after=1)] == [2]
    last = store.last("order-1")
    assert last is not None
    assert (last.type, last.position) == ("LineAdded", 2)
    assert (store.last("order-2"), store.read("order-2")) == (None, [])


def test_the_log_is_read_in_pages_by_category_and_type(orders: Orders) -> None:
    for key in ("1", "2"):
        orders.place(key)
        orders.add(key)
    store = orders.domain.event_store
    page = store.read_all(limit=3)
    assert [each.stream_name for each in page] == ["order-1", "order-1", "order-2"]
    assert len(store.read_all(after=page[-1].global_position)) == 1
    assert [each.stream_name for each in store.read_all(types=[orders.Added])] == ["order-1", "order-2"]
    assert store.read_all(types=["LineAdded"], categories=["customer"]) == []
    assert len(store.read_all(categories=["order"])) == 4


def test_a_search_goes_through_the_log_window_by_window(orders: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    from protean.write import histories

    monkeypatch.setattr(histories, "WINDOW", 2)
    for key in ("1", "2", "3"):
        orders.place(key)
        orders.add(key)
    store = orders.domain.event_store
    mine = store.read("order-2")[0]
    assert [each.id for each in store.search(correlation_id=mine.correlation_id)] == [mine.id]
    found = store.search(types=["OrderPlaced"], since=mine.time, limit=2)
    assert [each.stream_name for each in found] == ["order-2", "order-3"]
    assert [each.stream_name for each in store.search(types=["OrderPlaced"], until=mine.time)] == ["order-1"]
    assert len(store.search(types=["OrderPlaced"], limit=2)) == 2
    assert len(store.search(after=mine.global_position)) == 3


def test_what_a_read_cannot_mean_is_refused_by_name(orders: Orders) -> None:
    from datetime import datetime

    store = orders.domain.event_store
    with pytest.raises(ValidationError, match="limit: must be a whole number from 1 to 10000, not 0"):
        store.read("order-1", limit=0)
    with pytest.raises(ValidationError, match="after: must be a whole number at least 0"):
        store.read_all(after=-1)
    with pytest.raises(ValidationError, match="since: must have a time zone"):
        store.search(since=datetime(2030, 1, 1))  # noqa: DTZ001  # the point
    with pytest.raises(ConfigurationError, match=r"there is no \[databases\.other\]"):
        store.read_all(provider="other")
