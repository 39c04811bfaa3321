"""Value objects, states and invariants on their way into tables and events; on every database."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal as Exactly
from pathlib import Path
from typing import Any

import pytest

from protean import Domain, Q, UnitOfWork, atomic_change, current_domain, handle, invariant, on
from protean.exceptions import ValidationError
from protean.fields import Decimal, HasMany, Identifier, Integer, List, Nested, Status, String, ValueObject


class Stage(enum.Enum):
    DRAFT = "draft"
    PLACED = "placed"
    SHIPPED = "shipped"


@dataclass
class Shop:
    domain: Domain
    Money: Any
    Price: Any
    Order: Any
    Line: Any
    Place: Any
    Shown: Any

    @property
    def orders(self) -> Any:
        return self.domain.repository_for(self.Order)

    def euros(self, amount: object) -> Any:
        return self.Money(amount=amount, currency="EUR")

    def price(self, amount: object) -> Any:
        return self.Price(each=self.euros(amount), labels=["new"])


def build(config: dict[str, Any]) -> Shop:
    domain = Domain("shop", config=config)

    @domain.value_object
    class Money:
        amount: Decimal(required=True, min_value=0)
        currency: String(required=True, max_length=3)

    @domain.value_object
    class Price:
        each: Money
        labels: list[str] = []

    @domain.entity(part_of="Order")
    class Line:
        price: ValueObject(Money)

    @domain.aggregate
    class Order:
        price: Price
        deposit: ValueObject(Money, referenced_as="pledge")
        rebates: List(ValueObject(Money), default=list)
        packed: Nested(Money)
        stage: Status(
            Stage, transitions={Stage.DRAFT: [Stage.PLACED], Stage.PLACED: [Stage.SHIPPED]}, default=Stage.DRAFT
        )
        limit: Integer(default=3)
        lines: HasMany(Line)

        @invariant.post
        def has_few_rebates(self) -> None:
            if len(self.rebates) > self.limit:
                raise ValidationError({"rebates": [f"are more than {self.limit}"]})

    @domain.event(part_of=Order)
    class Placed:
        order_id: Identifier(required=True)
        price: Price
        rebates: list[Money] = []

    @domain.command(part_of=Order)
    class Place:
        order_id: Identifier(required=True)
        price: Price

    @domain.command_handler(part_of=Order)
    class Clerk:
        @handle(Place)
        def place(self, command: Any) -> None:
            order: Any = Order(id=command.order_id, price=command.price, rebates=[command.price.each])
            order.raise_(Placed(order_id=order.id, price=order.price, rebates=order.rebates))
            current_domain.repository_for(Order).add(order)

    @domain.projection
    class Shown:
        order_id: Identifier(identifier=True)
        price: ValueObject(Price)
        rebates: list[Money] = []

    @domain.projector(projector_for=Shown, aggregates=[Order])
    class ShownProjector:
        @on(Placed)
        def placed(self, event: Any) -> None:
            row: Any = Shown(order_id=event.order_id, price=event.price, rebates=event.rebates)
            current_domain.repository_for(Shown).add(row)

    domain.init()
    return Shop(domain, Money, Price, Order, Line, Place, Shown)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    uris = {"memory": "", "sqlite": f"sqlite:///{tmp_path / 'shop.db'}"}
    uri = uris.get(request.param)
    uri = request.getfixturevalue("database_url") if uri is None else uri
    shop = build({"databases": {"default": {"provider": request.param, "database_uri": uri}}})
    with shop.domain.domain_context():
        yield shop
    shop.domain.close()


def test_what_is_saved_comes_back_equal(shop: Shop) -> None:
    order = shop.Order(
        price=shop.price("9.90"), rebates=[shop.euros(1)], packed=shop.euros(2), lines=[shop.Line(price=shop.euros(3))]
    )
    shop.orders.add(order)
    again = shop.orders.get(order.id)
    assert again.to_dict() == order.to_dict()
    assert (again.price, again.deposit, again.lines[0].price) == (order.price, None, shop.euros(3))


def test_a_value_object_is_replaced_and_taken_away(shop: Shop) -> None:
    shop.orders.add(shop.Order(id="1", price=shop.price(1), deposit=shop.euros(5)))
    order = shop.orders.get("1")
    order.price = order.price.replace(each=shop.euros(2))
    order.deposit = None
    shop.orders.add(order)
    again = shop.orders.get("1")
    assert (again.price.each, again.deposit, again._version) == (shop.euros(2), None, 1)


def test_queries_compare_the_columns_of_a_value_object_and_sort_by_them(shop: Shop) -> None:
    for number in (3, 1, 2):
        shop.orders.add(shop.Order(id=f"{number}", price=shop.price(number), deposit=shop.euros(number * 10)))
    found = shop.orders.query.filter(price_each_amount__gt=1).order_by("-price_each_amount")
    assert [order.id for order in found] == ["3", "2"]
    assert shop.orders.find_by(deposit_amount__lt=Exactly("10.5")).id == "1"


def test_queries_compare_whole_value_objects(shop: Shop) -> None:
    for number in (1, 2):
        shop.orders.add(
            shop.Order(id=f"{number}", price=shop.price(number), deposit=shop.euros(number), packed=shop.euros(number))
        )
    assert shop.orders.find_by(deposit=shop.euros("2.00")).id == "2"
    assert shop.orders.find_by(price=shop.price(1)).id == "1"
    assert [order.id for order in shop.orders.query.exclude(deposit=shop.euros(2))] == ["1"]
    assert shop.orders.query.filter(Q(deposit=shop.euros(1)) | Q(deposit=shop.euros(2))).count() == 2
    assert shop.orders.find_by(packed=shop.euros(2)).id == "2"
    shop.orders.query.filter(id="1").update(deposit=shop.euros(7))
    assert shop.orders.get("1").deposit == shop.euros(7)
    for ask in (lambda: shop.orders.find(price=1), lambda: shop.orders.query.order_by("price")):
        with pytest.raises(ValidationError, match="compare price_each_amount, price_each_currency, price_labels, or a"):
            ask()


def test_events_and_projections_hold_what_the_aggregate_held(shop: Shop) -> None:
    shop.domain.process(shop.Place(order_id="1", price=shop.price("1.50")))
    row = shop.domain.repository_for(shop.Shown).get("1")
    assert (row.price, row.rebates) == (shop.price("1.5"), [shop.euros("1.5")])


def test_a_list_filled_in_place_is_looked_at_before_it_is_saved(shop: Shop) -> None:
    shop.orders.add(shop.Order(id="1", price=shop.price(1)))

    def fill() -> None:
        with UnitOfWork():
            order = shop.orders.get("1")
            order.rebates.extend([shop.euros(1)] * 4)

    with pytest.raises(ValidationError) as caught:
        fill()
    assert caught.value.messages == {"rebates": ["are more than 3"]}
    assert shop.orders.get("1").rebates == []
    new = shop.Order(id="2", price=shop.price(1))
    new.rebates.extend([shop.euros(1)] * 4)
    with pytest.raises(ValidationError, match="are more than 3"):
        shop.orders.add(new)
    assert not shop.orders.exists(id="2")


def test_an_old_row_that_breaks_a_younger_invariant_can_be_read_and_mended(shop: Shop) -> None:
    shop.orders.add(shop.Order(id="1", price=shop.price(1), rebates=[shop.euros(1)] * 3))
    shop.orders.query.filter(id="1").update(limit=1)
    with UnitOfWork():
        assert len(shop.orders.get("1").rebates) == 3
    with UnitOfWork():
        shop.orders.get("1").rebates = []
    assert shop.orders.get("1").rebates == []


def test_states_move_by_the_book_after_loading_too(shop: Shop) -> None:
    shop.orders.add(shop.Order(id="1", price=shop.price(1)))
    order = shop.orders.get("1")
    with pytest.raises(ValidationError, match="cannot become SHIPPED from DRAFT; it may become PLACED"):
        order.stage = Stage.SHIPPED
    order.stage = Stage.PLACED
    shop.orders.add(order)
    assert shop.orders.find_by(stage=Stage.PLACED).stage is Stage.PLACED


def test_an_atomic_change_is_saved_as_a_whole(shop: Shop) -> None:
    shop.orders.add(shop.Order(id="1", price=shop.price(1)))
    with UnitOfWork():
        order = shop.orders.get("1")
        with atomic_change(order):
            order.rebates = [shop.euros(1)] * 5
            order.limit = 5
    again = shop.orders.get("1")
    assert (len(again.rebates), again.limit) == (5, 5)
