"""Rows of a projection that several streams feed: whoever adds to one has seen what all others have added."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal as Exactly
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.bank import delivery

from protean import Domain, UnitOfWork, current_domain, on
from protean.exceptions import ExpectedVersionError
from protean.fields import Boolean, Date, DateTime, Decimal, Dict, Float, Identifier, Integer, List, String, Text
from protean.handle.executor import Executor
from protean.handle.retry import RetryPolicy
from protean.ports.handling import Delivery, Verdict
from protean.ports.progress import FailureFilter

Together = Callable[..., None]
DATABASES = ["memory", "sqlite", "postgresql"]


@dataclass
class Shop:
    """Orders of customers, and what projectors count of them. `between` runs in a handler that has read a row."""

    domain: Domain
    order: Any
    spending: Any
    placed: Any
    between: Callable[[], None] = lambda: None
    problems: list[str] = field(default_factory=list)

    def place(self, order_id: str, customer_id: str) -> None:
        order = self.order(order_id=order_id, customer_id=customer_id)
        order.raise_(self.placed(order_id=order_id, customer_id=customer_id))
        self.domain.repository_for(self.order).add(order)

    def deliveries(self, orders: list[str], lane: str = "primary") -> list[Delivery]:
        transaction = self.domain.database().transaction()
        try:
            return [delivery(each, lane) for order in orders for each in transaction.log.read(f"order-{order}", -1, 9)]
        finally:
            transaction.rollback()

    def handle(self, handler: str, deliveries: list[Delivery], *, grouped: bool) -> None:
        """As a subscription of an engine does, until all is handled."""
        spec = next(spec for spec in self.domain.registry.handlers if spec.name == handler)
        executor = Executor(self.domain, spec, "default", RetryPolicy())
        left = deliveries
        with self.domain.domain_context():
            while left:
                outcomes = executor.execute(left[:20], grouped=grouped, go_on=lambda: True)
                self.problems += [str(each) for each in outcomes if each.verdict is not Verdict.HANDLED]
                left = left[len(outcomes) :]

    def spent(self) -> dict[str, tuple[int, int, str]]:
        rows = self.domain.repository_for(self.spending).query.all()
        return {row.customer_id: (row.orders, row.loud, row.name) for row in rows}


def build_shop(database: dict[str, Any], event_processing: str = "async") -> Shop:
    domain = Domain(
        "shop",
        config={
            "databases": {"default": database},
            "brokers": {"default": {"provider": "memory"}},
            "event_processing": event_processing,
        },
    )

    @domain.event(part_of="Order")
    class Placed:
        order_id: Identifier(required=True)
        customer_id: Identifier(required=True)

    @domain.aggregate
    class Order:
        order_id: Identifier(identifier=True)
        customer_id: Identifier(required=True)

    @domain.projection
    class Spending:
        customer_id: Identifier(identifier=True)
        name: String(default="nobody")
        orders: Integer(default=0)
        loud: Integer(default=0)

    def row_of(event: Any) -> Any:
        rows = current_domain.repository_for(Spending)
        row = rows.get_or_none(event.customer_id) or rows.add(Spending(customer_id=event.customer_id))
        shop.between()
        return row

    @domain.projector(projector_for=Spending, aggregates=[Order])
    class Counter:
        @on(Placed)
        def placed(self, event: Any) -> None:
            row_of(event).orders += 1

    @domain.projector(projector_for=Spending, aggregates=[Order])
    class LoudCounter:
        @on(Placed)
        def placed(self, event: Any) -> None:
            row_of(event).loud += 1

    @domain.projector(projector_for=Spending, aggregates=[Order])
    class Searcher:
        """Finds its row by a query, which locks nothing."""

        @on(Placed)
        def placed(self, event: Any) -> None:
            rows = current_domain.repository_for(Spending)
            row = rows.find(customer_id=event.customer_id).first() or rows.add(Spending(customer_id=event.customer_id))
            shop.between()
            row.orders += 1

    @domain.projector(projector_for=Spending, aggregates=[Order])
    class Namer:
        """Adds without looking, and looks at what it has added."""

        @on(Placed)
        def placed(self, event: Any) -> None:
            rows = current_domain.repository_for(Spending)
            rows.add(Spending(customer_id=event.customer_id, name="Ann"))
            rows.get(event.customer_id).orders += 1

    domain.init()
    shop = Shop(domain, Order, Spending, Placed)
    return shop


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    provider = request.param
    uris = {"memory": "", "sqlite": f"sqlite:///{tmp_path / 'shop.db'}"}
    uri = uris[provider] if provider in uris else request.getfixturevalue("database_url")
    return {"provider": provider, "database_uri": uri}


@pytest.fixture
def shop(database: dict[str, Any]) -> Iterator[Shop]:
    shop = build_shop(database)
    with shop.domain.domain_context():
        yield shop
    shop.domain.close()


@pytest.mark.parametrize("handlers", [["Counter"], ["Counter", "LoudCounter"], ["Searcher"], ["Namer"]])
def test_200_orders_of_a_few_customers_are_200_whoever_handles_them_on_whichever_lane(
    shop: Shop, together: Together, handlers: list[str]
) -> None:
    customers = ["c-1", "c-2", "c-3"]
    orders = [f"{number:03}" for number in range(200)]
    for number, order in enumerate(orders):
        shop.place(order, customers[number * number % 7 % 3])
    backlog = shop.deliveries(orders, "backfill")
    production = shop.deliveries(orders[::-1])

    def worker(handler: str, mine: list[Delivery], *, grouped: bool) -> Callable[[], None]:
        return lambda: shop.handle(handler, mine, grouped=grouped)

    together(
        *(
            worker(handler, mine, grouped=grouped)
            for handler in handlers
            for mine, grouped in [(backlog[::2], True), (backlog[1::2], True), (production, False)]
        )
    )
    assert shop.problems == []
    loud = "LoudCounter" in handlers
    expected = {name: sum(number * number % 7 % 3 == at for number in range(200)) for at, name in enumerate(customers)}
    name = "Ann" if "Namer" in handlers else "nobody"
    assert shop.spent() == {key: (count, count * loud, name) for key, count in expected.items()}


def test_what_threads_cause_inline_adds_up_for_every_projector(database: dict[str, Any], together: Together) -> None:
    shop = build_shop(database, "sync")

    def place(thread: int) -> None:
        with shop.domain.domain_context():
            for number in range(10):
                shop.place(f"{thread}-{number}", "c-1")

    together(*(lambda thread=thread: place(thread) for thread in range(4)))
    with shop.domain.domain_context():
        assert shop.spent() == {"c-1": (120, 40, "Ann")}
        transaction = shop.domain.database().transaction()
        assert transaction.failures.find(FailureFilter(), 10) == []
        transaction.rollback()
    shop.domain.close()


def test_groups_that_want_the_same_rows_in_opposite_orders_never_wait_for_each_other_in_a_circle(
    database_url: str, together: Together
) -> None:
    """A database would notice after a second, end one of the two, and the work would be repeated: right, and slow."""
    shop = build_shop({"provider": "postgresql", "database_uri": database_url})
    with shop.domain.domain_context():
        orders = [f"{number:03}" for number in range(160)]
        for number, order in enumerate(orders):
            shop.place(order, f"c-{number % 10}")
        ascending, descending = shop.deliveries(orders[:80]), shop.deliveries(orders[:79:-1])
        together(
            lambda: shop.handle("Counter", ascending, grouped=True),
            lambda: shop.handle("Counter", descending, grouped=True),
            lambda: shop.handle("LoudCounter", ascending, grouped=True),
            lambda: shop.handle("LoudCounter", descending, grouped=True),
        )
        assert shop.spent() == {f"c-{number}": (16, 16, "nobody") for number in range(10)}
        assert shop.problems == []
    shop.domain.close()
    assert _deadlocks(database_url) == 0


@pytest.mark.parametrize("present", [True, False])
def test_two_who_read_a_row_at_the_same_moment_both_count(database_url: str, together: Together, present: bool) -> None:
    """Of a row that is not there both find nothing: one of them makes it, the other one is handled again at once."""
    shop = build_shop({"provider": "postgresql", "database_uri": database_url})
    with shop.domain.domain_context():
        for order in ("1", "2", "3"):
            shop.place(order, "c-1")
        if present:
            shop.handle("Counter", shop.deliveries(["3"]), grouped=False)
        meeting = threading.Barrier(2)
        waited = threading.local()

        def meet() -> None:
            """Once a worker; who holds the row does not wait for who waits for it."""
            if not getattr(waited, "already", False):
                waited.already = True
                with contextlib.suppress(threading.BrokenBarrierError):
                    meeting.wait(0.5)

        shop.between = meet
        together(
            lambda: shop.handle("Counter", shop.deliveries(["1"]), grouped=False),
            lambda: shop.handle("Counter", shop.deliveries(["2"]), grouped=False),
        )
        assert shop.problems == []
        assert shop.spent() == {"c-1": (3 if present else 2, 0, "nobody")}
    shop.domain.close()


def test_a_row_that_was_read_long_ago_is_not_saved_over_what_others_have_made_of_it(shop: Shop) -> None:
    rows = shop.domain.repository_for(shop.spending)
    rows.add(shop.spending(customer_id="c-1"))
    mine = rows.get("c-1")
    theirs = rows.get("c-1")
    theirs.orders += 1
    rows.add(theirs)
    mine.orders += 1
    with pytest.raises(ExpectedVersionError, match="spending 'c-1' was changed by somebody else since it was read"):
        rows.add(mine)
    with pytest.raises(ExpectedVersionError, match="was changed by somebody else"):
        rows.remove(mine)
    rows.add(theirs)  # nothing of it has changed
    theirs.orders += 1
    rows.add(theirs)
    rows.remove(theirs)
    with pytest.raises(ExpectedVersionError, match="spending 'c-1' is gone since it was read"):
        rows.add(mine)


@pytest.mark.parametrize("database", ["memory", "postgresql"], indirect=True)
def test_what_a_unit_of_work_has_read_of_a_row_still_holds_when_it_is_saved(shop: Shop, together: Together) -> None:
    """On SQLite nobody else writes meanwhile."""
    rows = shop.domain.repository_for(shop.spending)
    rows.add(shop.spending(customer_id="there"))

    def elsewhere() -> None:
        with shop.domain.domain_context(), UnitOfWork():
            rows.add(rows.get_or_none("new") or shop.spending(customer_id="new"))
            rows.get("there").orders = 7

    def look_then_add() -> None:
        with UnitOfWork():
            assert rows.get_or_none("new") is None
            together(elsewhere)
            rows.add(shop.spending(customer_id="new", orders=1))

    def find_then_change() -> None:
        with UnitOfWork():
            (row,) = rows.find(customer_id="there").all()
            together(elsewhere)
            row.orders += 1

    with pytest.raises(ExpectedVersionError, match="looked for in vain was made meanwhile"):
        look_then_add()
    rows.query.update(orders=0)
    with pytest.raises(ExpectedVersionError, match="'there' was changed by somebody else"):
        find_then_change()
    assert shop.spent() == {"new": (0, 0, "nobody"), "there": (7, 0, "nobody")}


@pytest.mark.parametrize("database", ["memory", "postgresql"], indirect=True)
def test_a_unit_of_work_that_is_used_again_holds_nothing_of_its_first_time(shop: Shop, together: Together) -> None:
    rows = shop.domain.repository_for(shop.spending)
    rows.add(shop.spending(customer_id="c-1"))
    unit = UnitOfWork()
    with unit:
        rows.get("c-1").orders += 1

    def elsewhere() -> None:
        with shop.domain.domain_context():
            rows.query.update(orders=7)

    def once_more() -> None:
        with unit:
            row = rows.get("c-1")
            together(elsewhere)
            row.orders += 1

    with pytest.raises(ExpectedVersionError, match="was changed by somebody else"):
        once_more()
    assert shop.spent() == {"c-1": (7, 0, "nobody")}


def test_a_page_behind_the_row_says_nothing_of_the_row_itself(shop: Shop) -> None:
    rows = shop.domain.repository_for(shop.spending)
    rows.add(shop.spending(customer_id="c-1", orders=3))
    with UnitOfWork():
        assert rows.find(customer_id="c-1").offset(1).first() is None
        rows.add(shop.spending(customer_id="c-1", name="Ann"))
    assert shop.spent() == {"c-1": (3, 0, "Ann")}


@pytest.mark.parametrize("grouped", [False, True])
def test_who_adds_a_row_without_looking_and_then_asks_for_it_sees_what_was_there(shop: Shop, grouped: bool) -> None:
    for order in ("1", "2", "3", "4"):
        shop.place(order, "c-1")
    shop.handle("Counter", shop.deliveries(["1", "2", "3", "4"]), grouped=grouped)
    shop.handle("Namer", shop.deliveries(["1", "2", "3", "4"]), grouped=grouped)
    assert shop.problems == []
    assert shop.spent() == {"c-1": (8, 0, "Ann")}


def test_what_was_written_and_not_read_since_may_be_saved_again_whatever_its_fields(database: dict[str, Any]) -> None:
    """The database has rounded it, or put it in order, by then."""
    domain = Domain(
        "kinds", config={"databases": {"default": database}, "brokers": {"default": {"provider": "memory"}}}
    )

    @domain.projection
    class Kinds:
        key: Identifier(identifier=True)
        real: Float()
        price: Decimal()
        moment: DateTime()
        day: Date()
        flag: Boolean(default=False)
        text: Text()
        tree: Dict()
        items: List()
        turn: Integer(default=0)

    domain.init()
    values = {
        "real": 0.1 + 0.2,
        "price": Exactly("10.500"),
        "moment": datetime(2030, 5, 1, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2))),
        "day": date(2030, 5, 1),
        "text": "ü\n",
        "tree": {"b": [1, 2.0, None], "a": {"ä": True}},
        "items": [3, "x", {"y": 1e20}],
    }
    with domain.domain_context():
        rows = domain.repository_for(Kinds)
        row = rows.add(Kinds(key="1", **values))
        row.turn = 1
        rows.add(row)
        row.turn, row.price, row.tree = 2, Exactly("1.10"), {"z": 0, "a": [0.1]}
        rows.add(row)
        rows.remove(row)
        assert rows.query.count() == 0
    domain.close()


def _deadlocks(url: str) -> int:
    """Sessions tell of theirs when they end."""
    pause = threading.Event()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        for _ in range(1000):
            if connection.execute(others).fetchone() == (0,):
                break
            pause.wait(0.01)
        found = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int((found.fetchone() or (-1,))[0])
