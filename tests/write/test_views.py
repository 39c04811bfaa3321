"""Views and queries: reading a projection, and nothing else; on every database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from protean import Domain, Q, UnitOfWork, current_domain, handle, on, read
from protean.exceptions import ConfigurationError, InvalidOperationError, ObjectNotFoundError
from protean.fields import Identifier, Integer, List, String
from protean.write.unit_of_work import current_unit_of_work


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Customers, a list of them, and queries; handlers run right after commit."""
    uris = {"memory": "", "sqlite": f"sqlite:///{tmp_path / 'shop.db'}"}
    uri = uris.get(request.param)
    database = {"provider": request.param, "database_uri": uri or ""}
    if uri is None:
        database["database_uri"] = request.getfixturevalue("database_url")
    shop = build_shop({"databases": {"default": database}, "event_processing": "sync"})
    with shop.domain.domain_context():
        for name, spend in (("Ada", 30), ("Bob", 20), ("Eve", 10)):
            shop.domain.process(shop.Register(id=name.lower(), name=name, spend=spend))
        yield shop
    shop.domain.close()


def build_shop(config: dict[str, Any]) -> Any:  # a list of declarations, not a decision
    domain = Domain("shop", config=config)

    @domain.event(part_of="Customer")
    class Registered:
        customer_id: Identifier(required=True)
        name: String(max_length=50)
        spend: Integer()

    @domain.event(part_of="Customer")
    class Left:
        customer_id: Identifier(required=True)

    @domain.aggregate
    class Customer:
        name: String(max_length=50)

    @domain.command(part_of=Customer)
    class Register:
        id: Identifier(required=True)
        name: String(max_length=50)
        spend: Integer(default=0)

    @domain.command(part_of=Customer)
    class Leave:
        id: Identifier(required=True)

    @domain.command_handler(part_of=Customer)
    class Registers:
        @handle(Register)
        def register(self, command: Any) -> str:
            customer = Customer(id=command.id, name=command.name)
            customer.raise_(Registered(customer_id=command.id, name=command.name, spend=command.spend))
            current_domain.repository_for(Customer).add(customer)
            return customer.id

        @handle(Leave)
        def leave(self, command: Any) -> None:
            customers = current_domain.repository_for(Customer)
            customer = customers.get(command.id)
            customer.raise_(Left(customer_id=command.id))
            customers.add(customer)

    @domain.projection
    class Listed:
        customer_id: Identifier(identifier=True)
        name: String(max_length=50, referenced_as="called")
        spend: Integer(default=0)
        seen: List(default=list)

    @domain.projector(projector_for=Listed, aggregates=[Customer])
    class Lists:
        @on(Left)
        def remove(self, event: Any) -> None:
            listed = current_domain.repository_for(Listed)
            listed.remove(listed.get(event.customer_id))

        @on("$any")
        def note(self, event: Any) -> None:
            row = Listed(customer_id=event.customer_id, name=event.name, spend=event.spend)
            row.seen = [type(event).__name__]
            current_domain.repository_for(Listed).add(row)

    @domain.query(part_of=Listed)
    class SpendingAtLeast:
        amount: Integer(default=0)

    @domain.query(part_of=Listed)
    class Meddling:
        how: String(required=True)

    @domain.query_handler(part_of=Listed)
    class Answers:
        @read(SpendingAtLeast)
        def spending(self, query: Any) -> list[str]:
            shop.units.append(current_unit_of_work(domain))
            found = current_domain.view_for(Listed).find(spend__gte=query.amount).order_by("-spend")
            return [row.name for row in found]

        @handle(Meddling)
        def meddle(self, query: Any) -> Any:
            return shop.meddle[query.how]()

    shop = SimpleNamespace(
        domain=domain,
        Customer=Customer,
        Listed=Listed,
        Register=Register,
        Leave=Leave,
        SpendingAtLeast=SpendingAtLeast,
        Meddling=Meddling,
        units=[],
        meddle={},
    )
    domain.init()
    return shop


def names(rows: Any) -> list[str]:
    return [row.name for row in rows]


def test_a_view_answers_what_a_repository_does(shop: Any) -> None:
    view = shop.domain.view_for(shop.Listed)

    assert view.get("ada").name == "Ada"
    assert view.get_or_none("nobody") is None
    with pytest.raises(ObjectNotFoundError, match="no Listed with identity 'nobody'"):
        view.get("nobody")
    assert names(view.find(spend__lt=25).order_by("name")) == ["Bob", "Eve"]
    assert view.find_by(name="Eve").spend == 10
    assert view.exists(name="Eve")
    assert not view.exists(Q(name="Eve") & Q(spend=0))
    assert (view.count(), view.count(spend__gte=20)) == (3, 2)
    assert names(view.query.order_by("-name").limit(2).all()) == ["Eve", "Bob"]


def test_a_projector_takes_every_other_event_and_removes_rows(shop: Any) -> None:
    assert shop.domain.view_for(shop.Listed).get("ada").seen == ["Registered"]

    shop.domain.process(shop.Leave(id="ada"))

    assert names(shop.domain.view_for(shop.Listed).query.order_by("name")) == ["Bob", "Eve"]


@pytest.mark.parametrize(
    "write",
    [
        lambda view: view.add(view.get("ada")),
        lambda view: view.remove(view.get("ada")),
        lambda view: view.query.update(name="X"),
        lambda view: view.find(name="Ada").delete(),
    ],
)
def test_writing_through_a_view_is_refused_with_the_way_to_do_it(shop: Any, write: Callable[[Any], Any]) -> None:
    view = shop.domain.view_for(shop.Listed)

    with pytest.raises(InvalidOperationError, match=r"only reads.*in its projector.*repository_for\(Listed\)"):
        write(view)

    assert names(view.query.order_by("name")) == ["Ada", "Bob", "Eve"]


def test_what_a_view_returns_is_not_saved_at_the_end_of_a_unit_of_work(shop: Any) -> None:
    with UnitOfWork():
        shop.domain.view_for(shop.Listed).get("ada").name = "changed"
        shop.domain.view_for(shop.Listed).find_by(name="Bob").name = "changed"

    assert names(shop.domain.view_for(shop.Listed).query.order_by("name")) == ["Ada", "Bob", "Eve"]


def test_a_view_sees_what_the_unit_of_work_around_it_has_written(shop: Any) -> None:
    with UnitOfWork():
        shop.domain.repository_for(shop.Listed).add(shop.Listed(customer_id="new", name="New"))

        assert shop.domain.view_for(shop.Listed).get("new").name == "New"


def test_only_projections_are_viewed(shop: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"takes a projection, not Customer.*repository_for\(Customer\)"):
        shop.domain.view_for(shop.Customer)


def test_a_query_is_answered_without_a_unit_of_work(shop: Any) -> None:
    assert shop.domain.dispatch(shop.SpendingAtLeast(amount=20)) == ["Ada", "Bob"]
    assert shop.units == [None]


def test_a_query_inside_a_unit_of_work_sees_what_that_has_written(shop: Any) -> None:
    with UnitOfWork():
        shop.domain.repository_for(shop.Listed).add(shop.Listed(customer_id="new", name="New", spend=99))

        assert shop.domain.dispatch(shop.SpendingAtLeast(amount=25)) == ["New", "Ada"]

    assert shop.domain.view_for(shop.Listed).exists(name="New")


def meddling(shop: Any) -> dict[str, Callable[[], Any]]:
    """Every way there is to change something, from inside a query."""
    repository = shop.domain.repository_for(shop.Listed)

    def change_in_a_unit_of_work() -> None:
        with UnitOfWork():
            repository.get("ada").name = "changed"

    def raise_an_event() -> None:
        customers = shop.domain.repository_for(shop.Customer)
        customers.add(shop.Customer(id="x", name="x"))

    return {
        "add": lambda: repository.add(shop.Listed(customer_id="new", name="New")),
        "remove": lambda: repository.remove(repository.get("ada")),
        "change": change_in_a_unit_of_work,
        "update": lambda: repository.query.update(name="changed"),
        "delete": repository.query.delete,
        "aggregate": raise_an_event,
        "process": lambda: shop.domain.process(shop.Register(id="x", name="x")),
        "process later": lambda: shop.domain.process(shop.Register(id="x", name="x"), asynchronous=True),
    }


@pytest.mark.parametrize(
    "how", ["add", "remove", "change", "update", "delete", "aggregate", "process", "process later"]
)
def test_a_query_that_changes_anything_fails_and_changes_nothing(shop: Any, how: str) -> None:
    shop.meddle = meddling(shop)

    with pytest.raises(InvalidOperationError, match="Meddling is being answered, and a query only reads"):
        shop.domain.dispatch(shop.Meddling(how=how))

    assert names(shop.domain.view_for(shop.Listed).query.order_by("name")) == ["Ada", "Bob", "Eve"]
    assert shop.domain.repository_for(shop.Customer).query.count() == 3


def test_a_query_cannot_change_what_the_unit_of_work_around_it_saves(shop: Any) -> None:
    repository = shop.domain.repository_for(shop.Listed)

    def change() -> None:
        repository.get("ada").name = "changed"

    shop.meddle = {"quietly": change}
    with pytest.raises(InvalidOperationError, match="a query only reads"), UnitOfWork():
        shop.domain.dispatch(shop.Meddling(how="quietly"))

    assert repository.get("ada").name == "Ada"


def test_after_a_query_everything_can_be_changed_again(shop: Any) -> None:
    shop.domain.dispatch(shop.SpendingAtLeast())
    shop.domain.process(shop.Register(id="new", name="New"))

    assert shop.domain.view_for(shop.Listed).exists(name="New")


def test_commands_are_not_dispatched_and_queries_not_processed(shop: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"takes a query.*commands go to process\(\)"):
        shop.domain.dispatch(shop.Register(id="x"))
    with pytest.raises(ConfigurationError, match=r"SpendingAtLeast is a query; ask it with dispatch\(\)"):
        shop.domain.process(shop.SpendingAtLeast())
