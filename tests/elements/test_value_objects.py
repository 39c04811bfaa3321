"""Value objects: unchanging, equal by content, held in fields. See tests/write/test_values.py for databases."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import enum
import json
import pickle
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protean.elements.declarations import Declarations
from protean.elements.payload import decode, encode
from protean.elements.registry import Registry
from protean.elements.state import restore, state_of
from protean.elements.value_object import Value
from protean.exceptions import ConfigurationError, DeserializationError, InvalidOperationError, ValidationError
from protean.fields import Decimal, Dict, Integer, List, Method, Nested, String, ValueObject
from protean.fields.frozen import frozen_json

shop = Declarations(Registry())


class Unit(enum.Enum):
    PIECE = "piece"
    KILO = "kilo"


@shop.value_object
class Money(Value):
    amount: decimal.Decimal = Decimal(required=True, min_value=0)
    currency: str = String(max_length=3, required=True)

    def plus(self, other: Any) -> Money:
        return self.replace(amount=self.amount + other.amount)


@shop.value_object
class Price(Value):
    """One within another, with everything that a column may be."""

    each: Money
    unit: Unit = Unit.PIECE
    since: dt.date | None = None
    tags: list[str] = []
    rebate = ValueObject(Money)


@shop.aggregate
class Product:
    price: Price  # plain annotation
    deposit = ValueObject(Money, referenced_as="pledge")
    history = List(ValueObject(Money))
    by_country: dict[str, Money] = {}
    packed = Nested(Price)


@shop.event(part_of=Product)
class Priced:
    price: Price
    deposit: Money | None = None
    history: list[Money] = []


AnyMoney: Any = Money
AnyPrice: Any = Price
AnyProduct: Any = Product
AnyPriced: Any = Priced
EUR5 = AnyMoney(amount=5, currency="EUR")

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5)
moneys = st.builds(
    AnyMoney,
    amount=st.decimals(min_value=0, allow_nan=False, allow_infinity=False),
    currency=texts.filter(bool).map(lambda text: text[:3]),
)
prices = st.builds(
    AnyPrice,
    each=moneys,
    unit=st.sampled_from(Unit),
    since=st.none() | st.dates(),
    tags=st.lists(texts, max_size=3),
    rebate=st.none() | moneys,
)
products = st.builds(
    AnyProduct,
    price=prices,
    deposit=st.none() | moneys,
    history=st.none() | st.lists(moneys, max_size=3),
    by_country=st.dictionaries(texts, moneys, max_size=2),
    packed=st.none() | prices,
)


def test_value_objects_are_equal_and_hashed_by_content() -> None:
    same = AnyMoney(amount="5.00", currency="EUR")
    assert (same, hash(same)) == (EUR5, hash(EUR5))
    assert AnyMoney(amount=5, currency="SEK") != EUR5
    one, other = (AnyPrice(each=EUR5, tags=["a"]) for _ in range(2))
    assert len({one, other, AnyPrice(each=EUR5, tags=["b"])}) == 2
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one


def test_value_objects_never_change_and_are_replaced() -> None:
    with pytest.raises(InvalidOperationError, match=r"Money\.amount cannot be set to 6: a value object never changes"):
        EUR5.amount = 6
    with pytest.raises(InvalidOperationError, match="cannot be deleted"):
        del EUR5.amount
    more = EUR5.plus(EUR5)
    assert (more.amount, more.currency, EUR5.amount) == (10, "EUR", 5)
    with pytest.raises(ValidationError, match="amount: must be at least 0"):
        EUR5.replace(amount=-1)
    with pytest.raises(ValidationError, match="`amount`"):
        EUR5.replace(amont=1)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace is of Python 3.13")
def test_copy_replace_checks_what_it_makes() -> None:
    with pytest.raises(ValidationError):
        copy.replace(EUR5, amount=-1)  # type: ignore[attr-defined,unused-ignore]  # new in Python 3.13


def test_lists_and_dicts_inside_never_change_either() -> None:
    price = AnyPrice(each=EUR5, tags=["a"])
    priced = AnyPriced(price=price, history=[EUR5])
    refused: list[Any] = [
        lambda: price.tags.append("b"),
        lambda: price.tags.__setitem__(0, "b"),
        priced.history.clear,
        priced.price.tags.sort,
    ]
    for change in refused:
        with pytest.raises(InvalidOperationError, match="never changes; make another"):
            change()
    mine = [*price.tags, "b"]
    mine.append("c")
    longer = price.tags + ["d"]  # noqa: RUF005 -- the sum is what is tested
    assert (price.tags, mine, price.tags[:], longer) == (["a"], ["a", "b", "c"], ["a"], ["a", "d"])


@pytest.mark.parametrize(
    ("kind", "method", "arguments"),
    [
        *(("list", name, ()) for name in ("clear", "pop", "sort", "reverse")),
        *(("list", name, ([9],)) for name in ("extend", "__iadd__")),
        *(("list", name, (1,)) for name in ("append", "remove", "__imul__")),
        *(("list", name, (0, 9)) for name in ("insert", "__setitem__")),
        ("list", "__delitem__", (0,)),
        *(("dict", name, ()) for name in ("clear", "popitem")),
        *(("dict", name, ("a",)) for name in ("pop", "setdefault", "__delitem__")),
        *(("dict", name, ({"b": 1},)) for name in ("update", "__ior__")),
        ("dict", "__setitem__", ("a", 9)),
    ],
)
def test_whatever_would_change_a_list_or_dict_inside_is_refused(kind: str, method: str, arguments: Any) -> None:
    inside: Any = frozen_json({"list": [1, 2], "dict": {"a": 1}})[kind]
    before = copy.copy(inside)
    with pytest.raises(InvalidOperationError, match="part of something that never changes"):
        getattr(inside, method)(*arguments)
    assert inside == before


def test_json_inside_never_changes_at_any_depth_and_becomes_changeable_elsewhere() -> None:
    told: Any = shop.event(part_of=Product)(type("Told", (), {"extra": Dict(), "__module__": __name__}))
    event = told(extra={"a": [{"b": 1}]})
    with pytest.raises(InvalidOperationError, match="the dict"):
        event.extra["a"][0]["b"] = 2
    with pytest.raises(InvalidOperationError, match="the list"):
        event.extra["a"].append(1)
    kept: Any = shop.aggregate(type("Kept", (), {"extra": Dict(), "__module__": __name__}))
    mine = kept(extra=event.extra)
    mine.extra["a"][0]["b"] = 2
    assert (mine.extra, event.extra) == ({"a": [{"b": 2}]}, {"a": [{"b": 1}]})
    assert hash(event) == hash(told(extra={"a": [{"b": 1}]}))
    assert copy.deepcopy(event) == event
    assert pickle.loads(pickle.dumps(event.extra)) == event.extra


def test_what_a_list_of_an_event_becomes_in_an_aggregate_may_be_changed() -> None:
    priced = AnyPriced(price=AnyPrice(each=EUR5), history=[EUR5])
    product = AnyProduct(price=priced.price, history=priced.history)
    product.history.append(EUR5)
    assert (len(product.history), len(priced.history)) == (2, 1)


def test_rows_have_a_column_for_each_field_nested_ones_too() -> None:
    row = state_of(AnyProduct(price=AnyPrice(each=EUR5, tags=["a"]), history=[EUR5], packed=AnyPrice(each=EUR5)))
    assert (row["price_each_amount"], row["price_each_currency"], row["price_unit"]) == (5, "EUR", "piece")
    assert (row["price_tags"], row["price_rebate_amount"]) == (["a"], None)
    assert (row["pledge_amount"], row["pledge_currency"]) == (None, None)
    assert row["history"] == [{"amount": "5", "currency": "EUR"}]
    assert row["packed"]["each"] == {"amount": "5", "currency": "EUR"}
    assert not {"price", "deposit", "pledge"} & set(row)


@given(products)
def test_a_restored_object_has_the_same_values(product: Any) -> None:
    row = state_of(product)
    again = restore(AnyProduct, row)
    for name in product.__protean__.fields:
        assert getattr(again, name) == getattr(product, name)
    assert state_of(again) == row
    assert hash(again.price) == hash(product.price)


@given(st.builds(AnyPriced, price=prices, deposit=st.none() | moneys, history=st.lists(moneys, max_size=3)))
def test_events_carry_value_objects_as_json_objects(priced: Any) -> None:
    data = json.loads(encode(priced))
    assert data["price"]["each"]["currency"] == priced.price.each.currency
    assert decode(AnyPriced, data) == priced


def test_a_value_object_that_is_there_but_empty_is_told_from_none_when_it_is_required(domain: Declarations) -> None:
    note: Any = domain.value_object(type("Note", (), {"text": String(), "__module__": __name__}))
    fields = {"needed": ValueObject(note, required=True), "maybe": ValueObject(note), "__module__": __name__}
    letter: Any = domain.aggregate(type("Letter", (), fields))
    again = restore(letter, state_of(letter(needed=note(), maybe=note())))
    assert (again.needed, again.maybe) == (note(), None)


def test_rules_that_became_stricter_do_not_lock_old_values_out() -> None:
    product = AnyProduct(price=AnyPrice(each=EUR5), history=[EUR5], packed=AnyPrice(each=EUR5))
    row = state_of(product)
    row |= {"price_each_amount": -1, "history": [{"amount": "-1", "currency": "LONG", "gone": 1}], "packed": {}}
    again = restore(AnyProduct, row)
    assert (again.price.each.amount, again.history[0].currency) == (-1, "LONG")
    assert (again.packed.each, again.packed.unit, again.packed.tags) == (None, Unit.PIECE, [])


def test_enums_that_forgot_a_member_are_reported() -> None:
    row = {**state_of(AnyProduct(price=AnyPrice(each=EUR5))), "price_unit": "ton"}
    with pytest.raises(DeserializationError, match="'ton' is not a valid Unit"):
        restore(AnyProduct, row)


@pytest.mark.parametrize(
    ("values", "messages"),
    [
        ({"price": 5}, {"price": ["must be a valid dictionary or instance of Price, not 5"]}),
        ({}, {"price": ["is required"]}),
        (
            {"price": {"each": {"amount": -1}}},
            {"price": ["each.amount: must be at least 0, not -1", "each.currency: is required"]},
        ),
        (
            {"price": {"each": {"amount": 1, "currency": "EUR", "curency": 1}}},
            {"price": ["each.curency: is not a field of Money; did you mean `currency`?"]},
        ),
        (
            {"price": {"each": EUR5}, "history": [EUR5, {"amount": 1}, None]},
            {"history": ["item 1: currency: is required", "item 2: is required"]},
        ),
        ({"price": {"each": EUR5, "tags": [5]}}, {"price": ["tags: item 0: must be a valid string, not 5"]}),
        (
            {"price": {"each": EUR5}, "by_country": {"se": 5}},
            {"by_country": ["item se: must be a valid dictionary or instance of Money, not 5"]},
        ),
    ],
)
def test_complaints_say_where(values: Any, messages: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        AnyProduct(**values)
    assert caught.value.messages == messages


def test_to_dict_is_plain_all_the_way_down() -> None:
    product = AnyProduct(id="1", price=AnyPrice(each=EUR5, tags=["a"]), history=[EUR5])
    money = {"amount": decimal.Decimal(5), "currency": "EUR"}
    price = {"each": money, "unit": "piece", "since": None, "tags": ["a"], "rebate": None}
    found = product.to_dict()
    assert found == {"id": "1", "price": price, "deposit": None, "history": [money], "by_country": {}, "packed": None}
    assert list(found) == list(product.__protean__.fields)
    assert type(found["price"]["tags"]) is list
    assert restore(AnyProduct, state_of(product)).to_dict() == found
    assert AnyPriced(price=product.price).to_dict()["price"] == price
    product.by_country = {"se": EUR5}
    product.to_dict()["by_country"].clear()
    assert product.by_country == {"se": EUR5}


def test_a_method_is_read_like_a_field_and_stored_nowhere(domain: Declarations) -> None:
    @domain.aggregate
    class Order:
        count: Integer(default=2)  # type: ignore[valid-type]  # a call is no type
        each: Integer(default=3)  # type: ignore[valid-type]  # as above
        total: object = Method("compute")

        def compute(self) -> int:
            return int(self.count * self.each)

    cls: Any = Order
    order = cls(id="1")
    assert order.total == 6
    order.count = 5
    assert order.to_dict() == {"id": "1", "count": 5, "each": 3, "total": 15}
    assert "total" not in state_of(order)
    with pytest.raises(InvalidOperationError, match=r"Order\.total cannot be set to 1: it is what `compute` returns"):
        order.total = 1
    with pytest.raises(ValidationError, match="total"):
        cls(total=1)


def test_a_method_that_is_not_there_is_named(domain: Declarations) -> None:
    body = {"total": Method("compte"), "compute": lambda self: 1, "__module__": __name__}
    with pytest.raises(ConfigurationError, match=r"there is no method `compte`, did you mean `compute`\?"):
        domain.aggregate(type("Order", (), body))


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda d: ValueObject("Money"), "takes the class, not its name 'Money'; declare the value object before it"),
        (lambda d: ValueObject(int), "takes a class declared with @domain.value_object, not <class 'int'>"),
        (lambda d: ValueObject(Money, unique=True), "say it in the value object"),
        (lambda d: List(ValueObject), "ValueObject is a function; write ValueObject(…)"),
        (lambda d: List(Method("x")), "a list or dict holds values, not a Method()"),
        (lambda d: made(d, id=Integer(identifier=True)), "a value object has no identity"),
        (lambda d: made(d, replace=Integer()), "`replace` of Made: this name is the framework's own"),
        (lambda d: made(d, size=3), "the value object Made has no fields"),
        (lambda d: owner(d, price=ValueObject(Money), price_amount=Integer()), "would share the column `price_amount`"),
        (lambda d: owner(d, price=ValueObject(Money, referenced_as="p" * 60)), "longer than 63 bytes; say"),
        (
            lambda d: owner(d, __annotations__={"price": Price}, price=ValueObject(Money)),
            "`price` of Owner: the annotation says Price, the value Money",
        ),
        (lambda d: owner(d, price=ValueObject(Money, default={"amount": 1})), "currency: is required"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(domain: Declarations, declare: Any, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        declare(domain)
    assert text in str(caught.value)


def made(domain: Declarations, **body: Any) -> object:
    return domain.value_object(type("Made", (), {"__module__": __name__, **body}))


def owner(domain: Declarations, **body: Any) -> object:
    return domain.aggregate(type("Owner", (), {"__module__": __name__, **body}))
