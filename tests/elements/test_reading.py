"""Queries and who answers them, and handlers that take every event."""

from __future__ import annotations

from typing import Any

import pytest
from tests.elements.test_registry import element, handler, plain, problem, shop

from protean.elements.declarations import Declarations
from protean.elements.handlers import on, read
from protean.exceptions import ConfigurationError, InvalidOperationError, ValidationError
from protean.fields import Integer, String

__all__ = ["shop"]


def spec(domain: Declarations, name: str) -> Any:
    return next(spec for spec in domain.registry.handlers if spec.name == name)


def test_any_takes_every_event_of_the_streams_that_has_no_method_of_its_own(shop: Declarations) -> None:
    order = shop.aggregate(plain("Order"))
    shop.event(part_of=order)(plain("Placed"))
    renamed = element(shop, "Renamed")
    takes = handler("Keeper", "$any", renamed)
    shop.projector(projector_for="CustomerView", aggregates=["Customer"])(takes)

    methods = spec(shop, "Keeper").methods

    assert set(methods) == {"Registered", "Renamed"}
    assert methods["Registered"] is takes.take_0
    assert methods["Renamed"] is takes.take_1


def test_any_takes_the_events_of_several_aggregates(shop: Declarations) -> None:
    shop.aggregate(plain("Order"))
    shop.event(part_of="Order")(plain("Placed"))
    shop.projector(projector_for="CustomerView", aggregates=["Customer", "Order"])(handler("Keeper", "$any"))

    assert set(spec(shop, "Keeper").methods) == {"Registered", "Renamed", "Placed"}
    assert spec(shop, "Keeper").categories == ("customer", "order")


def test_any_takes_events_of_the_streams_of_the_others_where_none_are_named(shop: Declarations) -> None:
    shop.projector(projector_for="CustomerView")(handler("Keeper", "$any", element(shop, "Renamed")))

    assert set(spec(shop, "Keeper").methods) == {"Registered", "Renamed"}


def test_any_alone_must_be_told_whose_events(shop: Declarations) -> None:
    shop.projector(projector_for="CustomerView")(handler("Keeper", "$any"))

    assert "does not say whose" in problem(shop)


def test_any_stands_on_one_method(shop: Declarations) -> None:
    shop.projector(projector_for="CustomerView", aggregates=["Customer"])(handler("Keeper", "$any", "$any"))

    assert 'two methods for "$any"' in problem(shop)


def test_a_command_handler_names_its_commands(shop: Declarations) -> None:
    shop.command_handler(part_of="Customer")(handler("Registers", "$any"))

    assert "names $any, which this domain does not declare" in problem(shop)


def test_a_query_never_changes_and_is_checked(shop: Declarations) -> None:
    query = shop.query(part_of="CustomerView")(plain("Named", name=String(required=True), least=Integer(default=1)))

    assert query(name="Ada") == query(name="Ada", least=1)
    with pytest.raises(ValidationError, match="name"):
        query()
    with pytest.raises(InvalidOperationError, match="query never changes"):
        query(name="Ada").name = "Bob"


def test_a_query_finds_its_handler(shop: Declarations) -> None:
    query = shop.query(part_of="CustomerView")(plain("Named", name=String()))
    answers = shop.query_handler(part_of="CustomerView")(handler("Answers", query))

    route = shop.registry.query_route(query)

    assert (route.projection, route.handler) == (element(shop, "CustomerView"), answers)
    assert route.method(route.handler(), "now") == ("Answers", "now")
    assert read is on


def test_a_query_nobody_answers_says_what_to_do(shop: Declarations) -> None:
    query = shop.query(part_of="CustomerView")(plain("Named"))

    with pytest.raises(ConfigurationError, match=r"no query handler of this domain answers Named; .* @read\(Named\)"):
        shop.registry.query_route(query)


@pytest.mark.parametrize(
    ("declare", "complaint"),
    [
        (lambda shop: shop.query(part_of="Customer")(plain("Named")), "`part_of` names Customer, a aggregate where"),
        (lambda shop: shop.query(plain("Named")), "does not say `part_of`; it needs a projection there"),
        (
            lambda shop: shop.query_handler(part_of="CustomerView")(handler("Answers", "Registered")),
            "handles the event Registered; here only queries are handled",
        ),
    ],
)
def test_misfits_are_named(shop: Declarations, declare: Any, complaint: str) -> None:
    declare(shop)

    assert complaint in problem(shop)


def test_a_query_has_one_handler(shop: Declarations) -> None:
    shop.query(part_of="CustomerView")(plain("Named"))
    shop.query_handler(part_of="CustomerView")(handler("Answers", "Named"))
    shop.query_handler(part_of="CustomerView")(handler("AnswersToo", "Named"))

    assert "Named has two handlers, Answers and AnswersToo" in problem(shop)


def test_a_query_is_answered_by_a_handler_of_its_projection(shop: Declarations) -> None:
    from protean.fields import Identifier

    shop.projection(plain("OrderView", key=Identifier(identifier=True)))
    shop.query(part_of="CustomerView")(plain("Named"))
    shop.query_handler(part_of="OrderView")(handler("Answers", "Named"))

    assert "Answers is part of OrderView and answers Named, which is part of CustomerView" in problem(shop)


def test_a_query_is_answered_in_plain_code(shop: Declarations) -> None:
    async def answer(self: object, query: object) -> None: ...

    shop.query(part_of="CustomerView")(plain("Named"))
    shop.query_handler(part_of="CustomerView")(plain("Answers", answer=read("Named")(answer)))

    assert "Answers.answer is async; a query is answered where it is dispatched" in problem(shop)
