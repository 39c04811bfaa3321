"""Entities, values and invariants in event-sourced aggregates, and in their facts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal as Exact
from pathlib import Path
from typing import Any

import pytest

from protean import Domain, apply, invariant
from protean.exceptions import InvalidOperationError, ValidationError
from protean.fields import Decimal, HasMany, Identifier, Integer, List, String, ValueObject


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    uris = {"memory": "", "sqlite": f"sqlite:///{tmp_path / 'shop.db'}"}
    uri = uris.get(request.param)
    if uri is None:
        uri = request.getfixturevalue("database_url")
    domain = Domain(
        "shop",
        config={
            "databases": {"default": {"provider": request.param, "database_uri": uri}},
            "brokers": {"default": {"provider": "memory"}},
            "event_processing": "async",
            "event_store": {"snapshot_threshold": 2},
        },
    )

    refused: set[str] = set()

    def allowed(text: str) -> None:
        if text in refused:
            raise ValueError("is refused by now")

    @domain.value_object
    class Price:
        amount = Decimal(required=True)
        currency = String(max_length=3, default="EUR")
        remarks = List(String(validators=[allowed]), default=list)

    @domain.event(part_of="Cart")
    class ItemAdded:
        item_id = Identifier(required=True)
        price = ValueObject(Price, required=True)
        remarks = List(String(), default=list)

    @domain.event(part_of="Cart")
    class Emptied:
        pass

    @domain.entity(part_of="Cart")
    class Item:
        price = ValueObject(Price)
        count = Integer(default=1)
        remarks = List(String(validators=[allowed]), default=list)

    @domain.aggregate(event_sourced=True, fact_events=True)
    class Cart:
        items = HasMany(Item)
        total = ValueObject(Price)
        remarks = List(String(validators=[allowed]), default=list)

        @apply
        def added(self, event: ItemAdded) -> None:
            item: Any = Item
            self.items.append(item(id=event.item_id, price=event.price, remarks=event.remarks))
            self.remarks = [*self.remarks, *event.remarks]
            before = self.total.amount if self.total else Exact(0)
            price: Any = Price
            self.total = price(amount=before + event.price.amount, remarks=event.remarks)

        @apply
        def emptied(self, event: Emptied) -> None:
            self.items.clear()
            self.total = None

        @invariant.post
        def not_too_many(self) -> None:
            if len(self.items) > 3:
                raise ValidationError({"items": ["are too many"]})

    domain.init()
    made: Any = domain
    made.refused = refused
    made.names = {"Price": Price, "ItemAdded": ItemAdded, "Emptied": Emptied, "Cart": Cart, "Item": Item}
    with domain.domain_context():
        yield made
    domain.close()


def add(shop: Any, cart: Any, *items: str) -> None:
    for item in items:
        cart.raise_(shop.names["ItemAdded"](item_id=item, price=shop.names["Price"](amount=Exact("1.50"))))
    shop.repository_for(shop.names["Cart"]).add(cart)


def content(cart: Any) -> Any:
    return [(item.id, item.price.amount, item.count) for item in cart.items], cart.total and cart.total.amount


def test_entities_and_values_are_replayed_also_from_a_snapshot(shop: Any) -> None:
    carts = shop.repository_for(shop.names["Cart"])
    cart = shop.names["Cart"](id="1")
    add(shop, cart, "a")
    assert content(carts.get("1")) == ([("a", Exact("1.50"), 1)], Exact("1.50"))
    add(shop, cart, "b", "c")
    expected = [(each, Exact("1.50"), 1) for each in "abc"], Exact("4.50")
    assert content(cart) == content(carts.get("1")) == expected
    assert content(carts.get("1", at_version=0)) == ([("a", Exact("1.50"), 1)], Exact("1.50"))
    assert [table.name for table in shop.tables["default"]] == ["snapshots"]
    later = carts.get("1")
    later.raise_(shop.names["Emptied"]())
    carts.add(later)
    assert content(carts.get("1")) == ([], None)


def test_an_event_after_which_an_invariant_does_not_hold_has_not_happened(shop: Any) -> None:
    carts = shop.repository_for(shop.names["Cart"])
    cart = shop.names["Cart"](id="1")
    add(shop, cart, "a", "b", "c")
    with pytest.raises(ValidationError, match="items: are too many"):
        add(shop, cart, "d")
    assert len(cart.items) == 3
    carts.add(cart)
    assert content(cart) == content(carts.get("1"))
    assert cart._version == 2


def test_a_history_that_todays_rules_refuse_is_loaded_and_goes_on(shop: Any) -> None:
    carts, cart, price = (
        shop.repository_for(shop.names["Cart"]), shop.names["Cart"](id="1"), shop.names["Price"](amount=Exact(1)),
    )  # fmt: skip
    cart.raise_(shop.names["ItemAdded"](item_id="a", price=price, remarks=["old"]))
    carts.add(cart)
    shop.refused.add("old")
    cart = carts.get("1")
    assert (cart.remarks, cart.items[0].remarks, cart.total.remarks) == (["old"],) * 3
    carts.add(cart)
    with pytest.raises(ValidationError, match="is refused by now"):
        cart.raise_(shop.names["ItemAdded"](item_id="b", price=price, remarks=["old"]))
    cart.raise_(shop.names["Emptied"]())
    carts.add(cart)
    assert content(carts.get("1")) == ([], None)


def test_a_part_that_is_changed_without_an_event_is_refused(shop: Any) -> None:
    carts = shop.repository_for(shop.names["Cart"])
    cart = shop.names["Cart"](id="1")
    add(shop, cart, "a")
    cart.items[0].count = 7
    with pytest.raises(InvalidOperationError, match="`items` is"):
        carts.add(cart)


def test_facts_hold_the_parts_too(shop: Any) -> None:
    cart = shop.names["Cart"](id="1")
    add(shop, cart, "a", "b")
    (fact,) = shop.event_store.read("cart-fact-1")
    assert [item["id"] for item in fact.data["items"]] == ["a", "b"]
    assert Exact(fact.data["total"]["amount"]) == Exact("3.00")
