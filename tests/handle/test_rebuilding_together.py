"""One projection of several projectors, over several aggregates, with a unique column; on every database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from protean import Domain, current_domain, handle, on
from protean.exceptions import RebuildError
from protean.fields import Identifier, Integer, String
from protean.handle.rebuilding import Rebuilder


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    uris = {"memory": "", "sqlite": f"sqlite:///{tmp_path / 'shop.db'}"}
    uri = uris.get(request.param)
    database = {"provider": request.param, "database_uri": uri or ""}
    if uri is None:
        database["database_uri"] = request.getfixturevalue("database_url")
    shop = build_shop({"databases": {"default": database}, "event_processing": "sync"})
    with shop.domain.domain_context():
        yield shop
    shop.domain.close()


def build_shop(config: dict[str, Any]) -> Any:  # a list of declarations, not a decision
    domain = Domain("shop", config=config)

    @domain.event(part_of="Customer")
    class Registered:
        customer_id: Identifier(required=True)
        nick: String(max_length=50)

    @domain.event(part_of="Customer")
    class Left:
        customer_id: Identifier(required=True)

    @domain.event(part_of="Order")
    class Placed:
        order_id: Identifier(required=True)
        customer_id: Identifier(required=True)

    @domain.aggregate
    class Customer:
        nick: String(max_length=50)

    @domain.aggregate
    class Order:
        customer_id: Identifier()

    @domain.command(part_of=Customer)
    class Register:
        customer_id: Identifier(required=True)
        nick: String(max_length=50)

    @domain.command(part_of=Customer)
    class Leave:
        customer_id: Identifier(required=True)

    @domain.command(part_of=Order)
    class Place:
        order_id: Identifier(required=True)
        customer_id: Identifier(required=True)

    @domain.command_handler(part_of=Customer)
    class Registers:
        @handle(Register)
        def register(self, command: Any) -> None:
            customer = Customer(id=command.customer_id, nick=command.nick)
            customer.raise_(Registered(customer_id=customer.id, nick=command.nick))
            current_domain.repository_for(Customer).add(customer)

        @handle(Leave)
        def leave(self, command: Any) -> None:
            customers = current_domain.repository_for(Customer)
            customer = customers.get(command.customer_id)
            customer.raise_(Left(customer_id=customer.id))
            customers.add(customer)

    @domain.command_handler(part_of=Order)
    class Orders:
        @handle(Place)
        def place(self, command: Any) -> None:
            order = Order(id=command.order_id, customer_id=command.customer_id)
            order.raise_(Placed(order_id=order.id, customer_id=order.customer_id))
            current_domain.repository_for(Order).add(order)

    @domain.projection
    class Summary:
        customer_id: Identifier(identifier=True)
        nick: String(max_length=50, unique=True)
        orders: Integer(default=0)

    @domain.projection
    class Unkept:
        key: Identifier(identifier=True)

    @domain.projection
    class Loose:
        key: Identifier(identifier=True)

    @domain.projector(projector_for=Summary, aggregates=[Customer, Order])
    class Counts:
        """Of two aggregates; `changed` says what today's code does with an order."""

        @on(Placed)
        def placed(self, event: Any) -> None:
            summaries = current_domain.repository_for(Summary)
            row = summaries.get_or_none(event.customer_id) or Summary(customer_id=event.customer_id)
            row.orders += shop.worth
            summaries.add(row)

        @on(Left)
        def left(self, event: Any) -> None:
            summaries = current_domain.repository_for(Summary)
            summaries.remove(summaries.get(event.customer_id))

    @domain.projector(projector_for=Summary)
    class Names:
        @on(Registered)
        def registered(self, event: Any) -> None:
            summaries = current_domain.repository_for(Summary)
            row = summaries.get_or_none(event.customer_id) or Summary(customer_id=event.customer_id)
            row.nick = event.nick
            summaries.add(row)

    @domain.projector(projector_for=Loose, sequenced=False)
    class LooseProjector:
        @on(Left)
        def left(self, event: Any) -> None:
            """Nothing is kept of it."""

    shop = SimpleNamespace(
        domain=domain, Summary=Summary, Unkept=Unkept, Loose=Loose, Register=Register, Leave=Leave, Place=Place, worth=1
    )
    domain.init()
    return shop


def rows(shop: Any) -> dict[str, tuple[str | None, int]]:
    found = shop.domain.view_for(shop.Summary).query.all()
    return {row.customer_id: (row.nick, row.orders) for row in found}


def test_several_projectors_and_aggregates_are_replayed_together(shop: Any) -> None:
    for number in range(5):
        shop.domain.process(shop.Register(customer_id=f"c{number}", nick=f"nick {number}"))
        for order in range(number):
            shop.domain.process(shop.Place(order_id=f"o{number}-{order}", customer_id=f"c{number}"))
    before = rows(shop)
    shop.domain.repository_for(shop.Summary).query.update(orders=-1)

    rebuilt = shop.domain.rebuild(shop.Summary, batch=4)

    assert rows(shop) == before
    assert before["c4"] == ("nick 4", 4)
    assert (rebuilt.messages, rebuilt.applied, rebuilt.rows) == (15, 15, 5)
    shop.domain.process(shop.Place(order_id="later", customer_id="c4"))
    assert rows(shop)["c4"] == ("nick 4", 5)


def test_a_rebuild_is_by_the_code_of_today(shop: Any) -> None:
    shop.domain.process(shop.Register(customer_id="c", nick="nick"))
    shop.domain.process(shop.Place(order_id="o", customer_id="c"))
    shop.worth = 10

    shop.domain.rebuild(shop.Summary)

    assert rows(shop) == {"c": ("nick", 10)}


def test_rows_that_were_removed_are_removed_and_what_was_unique_to_them_is_free_again(shop: Any) -> None:
    """Written together, the row that takes the name would come before the one that gives it up."""
    shop.domain.process(shop.Register(customer_id="z", nick="the one"))
    shop.domain.process(shop.Leave(customer_id="z"))
    shop.domain.process(shop.Register(customer_id="a", nick="the one"))
    before = rows(shop)

    for _ in range(2):
        shop.domain.rebuild(shop.Summary)

    assert rows(shop) == before == {"a": ("the one", 0)}
    shop.domain.process(shop.Register(customer_id="b", nick="the one"))  # its name is taken: a failure, not a row
    assert rows(shop) == before


@pytest.mark.proves("protean.exceptions.RebuildError")
def test_what_nobody_keeps_and_what_has_no_positions_is_refused(shop: Any) -> None:
    with pytest.raises(RebuildError, match=r"Unkept has no projector.*projector_for=Unkept"):
        shop.domain.rebuild(shop.Unkept)
    with pytest.raises(RebuildError, match=r"LooseProjector is declared with sequenced=False"):
        Rebuilder(shop.domain, shop.Loose)
