"""Entities inside their aggregate: what a list takes, who they are part of, and what refers to what."""

from __future__ import annotations

import copy
import gc
import pickle
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from protean import Aggregate, Entity, Event, Index
from protean.elements.aggregate import raised_events
from protean.elements.declarations import Declarations
from protean.elements.registry import Registry
from protean.elements.state import refill, restore, state_of
from protean.exceptions import ConfigurationError, InvalidOperationError, ValidationError
from protean.fields import HasMany, HasOne, Identifier, Integer, Reference, String

shop = Declarations(Registry())


@shop.aggregate
class Customer(Aggregate):
    name: str | None = String(default=None)


@shop.aggregate
class Machine(Aggregate):
    number: int = Integer(identifier=True)


@shop.aggregate
class Order(Aggregate):
    number = String()
    lines: list[OrderLine] = HasMany("OrderLine")
    later: list[OrderLine] = HasMany("OrderLine")
    address: Address | None = HasOne("Address")
    customer = Reference(Customer)
    machine = Reference(Machine, referenced_as="made_on")
    agent_id: str | None = Reference("Customer")


@shop.entity(part_of=Order)
class OrderLine(Entity):
    sku: str = String(max_length=10, required=True)
    quantity: int = Integer(default=1, min_value=1)
    discounts: list[Discount] = HasMany("Discount")
    order = Reference(Order)

    def ship(self) -> None:
        self.raise_(Shipped(sku=self.sku))


@shop.entity(part_of="OrderLine")
class Discount(Entity):
    percent: int = Integer(required=True)


@shop.entity(part_of=Order)
class Address(Entity):
    city: str = String(required=True)


@shop.event(part_of=Order)
class Shipped(Event):
    sku: str


shop.registry.compile()

AnyOrder: Any = Order
Line: Any = OrderLine
AnyAddress: Any = Address


def order(*skus: str) -> Any:
    return AnyOrder(id="o", lines=[Line(id=sku, sku=sku) for sku in skus])


def skus(lines: Any) -> str:
    return "".join(line.sku for line in lines)


def told(one: Any) -> list[str]:
    events: list[Any] = [*raised_events(one)]
    return [event.sku for event in events]


def messages(act: Callable[[], object]) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as caught:
        act()
    return caught.value.messages


def test_an_entity_has_an_identity_and_validates_like_everything_else() -> None:
    line = Line(sku="a")
    assert uuid.UUID(line.id).version == 4
    assert messages(lambda: Line(sku="x" * 11)) == {"sku": ["must have at most 10 characters, not 11"]}
    assert messages(lambda: setattr(line, "quantity", 0)) == {"quantity": ["must be at least 1, not 0"]}
    assert line == Line(id=line.id, sku="other")


def test_a_new_object_has_empty_lists_and_no_single_entity() -> None:
    empty = AnyOrder()
    assert (empty.lines, empty.address, empty.customer_id) == ([], None, None)
    assert isinstance(empty.lines, list)


def test_the_list_behaves_like_a_list() -> None:
    one = order("a", "b", "c")
    lines = one.lines
    lines.append(Line(sku="d"))
    lines.insert(0, Line(sku="e"))
    lines.extend([Line(sku="f")])
    lines += [Line(sku="g")]
    assert skus(lines) == "eabcdfg"
    lines.remove(lines[1])
    assert lines.pop().sku == "g"
    assert lines.pop(0).sku == "e"
    del lines[0]
    assert skus(lines) == "cdf"
    lines[1:2] = [Line(sku="h"), Line(sku="i")]
    lines[0] = Line(sku="j")
    assert skus(lines) == "jhif"
    lines.sort(key=lambda line: line.sku)
    assert skus(lines) == "fhij"
    lines.reverse()
    assert skus(lines[1:3]) == "ih"
    assert type(lines[1:3]) is list
    del lines[1:3]
    assert skus(lines) == "jf"
    lines *= 1
    lines[:] = reversed(lines)
    assert skus(lines) == "fj"
    lines.clear()
    assert lines == []


def test_a_list_whose_object_is_gone_takes_nothing_that_would_be_lost() -> None:
    lines = order("a").lines
    gc.collect()
    text = "the object that this list belongs to is gone; keep hold of that one, not of its list"
    assert messages(lambda: lines.append(Line(sku="b"))) == {"lines": [text]}


def test_assigning_a_list_fills_the_list_that_is_there() -> None:
    one = order("a", "b")
    held = one.lines
    one.lines = [one.lines[1], Line(sku="c")]
    assert one.lines is held
    assert skus(held) == "bc"
    refused: list[Any] = [Line(sku="d"), 5]
    assert "item 1" in messages(lambda: setattr(one, "lines", refused))["lines"][0]
    assert skus(held) == "bc"
    assert all(line.order is one for line in held)
    assert refused[0].order is None


@pytest.mark.parametrize("wrong", [5, None, "text", {"sku": "a"}, Discount(percent=1), AnyOrder()])
def test_what_is_no_such_entity_is_refused_at_once_and_named(wrong: Any) -> None:
    one = order("a")
    shown = repr(wrong)[:50]
    text = [f"item 1: must be an instance of OrderLine, not {shown}"]
    for act in (
        lambda: one.lines.append(wrong),
        lambda: one.lines.insert(7, wrong),
        lambda: one.lines.extend([wrong]),
        lambda: one.lines.__setitem__(slice(1, 1), [wrong]),
        lambda: setattr(one, "lines", [*one.lines, wrong]),
    ):
        assert messages(act) == {"lines": text}
        assert skus(one.lines) == "a"
    assert messages(lambda: AnyOrder(lines=[wrong])) == {"lines": [text[0].replace("item 1", "item 0")]}


@pytest.mark.parametrize("wrong", [5, None, "text", b"bytes", {}])
def test_a_list_is_a_list(wrong: Any) -> None:
    assert messages(lambda: AnyOrder(lines=wrong)) == {"lines": [f"must be a list, not {wrong!r}"]}
    assert messages(lambda: setattr(order("a"), "lines", wrong)) == {"lines": [f"must be a list, not {wrong!r}"]}


def test_a_constructor_lists_all_complaints() -> None:
    given = messages(lambda: AnyOrder(number=5, lines=7, customer="x", nmber="a"))
    assert set(given) == {"number", "lines", "customer", "nmber"}


def test_an_entity_is_in_a_list_once() -> None:
    one = order("a", "b")
    line = one.lines[0]
    assert messages(lambda: one.lines.append(line)) == {"lines": ["item 2: OrderLine 'a' is in the list already"]}
    fresh = Line(sku="c")
    assert messages(lambda: one.lines.extend([fresh, fresh])) == {
        "lines": [f"item 3: OrderLine {fresh.id!r} is in the list already"]
    }
    assert messages(lambda: one.lines.__imul__(2)) == {"lines": ["item 2: OrderLine 'a' is in the list already"]}
    assert skus(one.lines) == "ab"
    one.lines.append(fresh)
    assert skus(one.lines) == "abc"


def test_an_identity_that_is_there_twice_is_found_when_saved() -> None:
    one = order("a")
    one.lines.append(Line(id="a", sku="z"))
    assert messages(lambda: state_of(one)) == {"lines": ["item 1: OrderLine 'a' is there twice, as item 0 too"]}


def test_an_entity_of_another_object_is_refused_until_that_one_lets_it_go() -> None:
    one, other = order("a"), AnyOrder(id="p")
    line = one.lines[0]
    text = "item 0: OrderLine 'a' is part of Order 'o'; remove it there first"
    assert messages(lambda: other.lines.append(line)) == {"lines": [text]}
    one.lines.remove(line)
    other.lines.append(line)
    assert (line.order, line.order_id) == (other, "p")


def test_an_entity_of_an_object_that_was_dropped_is_free() -> None:
    one = order("a")
    line = one.lines[0]
    del one
    gc.collect()
    other = AnyOrder()
    other.lines.append(line)
    assert line.order is other


def test_an_entity_moves_between_lists_of_its_object_in_either_order() -> None:
    one = order("a", "b")
    one.later.append(one.lines.pop(0))
    line = one.lines[0]
    one.later.append(line)
    one.lines.remove(line)
    assert (skus(one.lines), skus(one.later)) == ("", "ab")
    line.ship()
    assert told(one) == ["b"]


def test_an_entity_cannot_become_part_of_itself(domain: Declarations) -> None:
    @domain.aggregate
    class Tree:
        nodes = HasMany("Node")

    @domain.entity(part_of="Tree")
    class Node:
        children = HasMany("Node")

    domain.registry.compile()
    tree: Any = Tree()
    outer, inner = Node(), Node()
    tree.nodes.append(outer)
    outer.children.append(inner)
    for node in (outer, inner):
        with pytest.raises(ValidationError, match="would become a part of itself"):
            inner.children.append(node)


def test_a_single_entity_is_put_changed_and_taken_away() -> None:
    one = AnyOrder(address=AnyAddress(city="Ulm"))
    first = one.address
    one.address = first
    one.address.city = "Bonn"
    assert (one.address.city, one.address is first) == ("Bonn", True)
    one.address = AnyAddress(city="Rom")
    other = AnyOrder(address=first)
    assert messages(lambda: setattr(one, "address", first)) == {
        "address": [f"Address {first.id!r} is part of Order {other.id!r}; remove it there first"]
    }
    assert messages(lambda: setattr(one, "address", "Ulm")) == {
        "address": ["must be an instance of Address, not 'Ulm'"]
    }
    assert one.address.city == "Rom"
    one.address = None
    assert one.address is None


def test_entities_raise_events_through_their_aggregate_however_deep() -> None:
    one = order("a")
    one.lines[0].ship()
    one.lines[0].discounts.append(Discount(percent=1))
    one.lines[0].discounts[0].raise_(Shipped(sku="deep"))
    assert told(one) == ["a", "deep"]


def test_a_detached_entity_cannot_raise_and_says_why() -> None:
    line = Line(sku="a")
    with pytest.raises(InvalidOperationError, match=r"is part of no Order here.*Shipped; put it into one first"):
        line.ship()
    one = AnyOrder(lines=[line])
    one.lines.clear()
    with pytest.raises(InvalidOperationError, match="is part of no Order here"):
        line.ship()


def test_an_entity_leads_back_to_what_has_it() -> None:
    one = order("a")
    line = one.lines[0]
    assert (line.order, line.order_id) == (one, "o")
    assert "order_id" not in Line.__protean__.fields
    loose = Line(sku="b")
    assert (loose.order, loose.order_id) == (None, None)
    with pytest.raises(ValidationError, match="is whatever has this OrderLine"):
        loose.order = one


def test_a_reference_keeps_the_identity_of_what_it_is_given() -> None:
    ada: Any = Customer(name="Ada")
    machine: Any = Machine(number=7)
    one = AnyOrder(customer=ada, machine=machine, agent_id=ada)
    assert (one.customer_id, one.machine_id, one.agent_id) == (ada.id, 7, ada.id)
    one.customer = None
    assert one.customer_id is None
    one.customer_id = "x"
    one.agent_id = "y"
    one.customer = ada
    assert (one.customer_id, one.agent_id) == (ada.id, "y")
    assert state_of(one)["made_on"] == 7


def test_a_reference_is_by_identity_only() -> None:
    one = AnyOrder(customer_id="c")
    with pytest.raises(
        InvalidOperationError, match=r"read `customer_id`, and load .* domain.repository_for\(Customer\)"
    ):
        print(one.customer)
    assert messages(lambda: setattr(one, "customer", "d")) == {
        "customer": ["must be an instance of Customer, not 'd'; an identity goes to `customer_id`"]
    }
    assert "must be an instance of Customer" in messages(lambda: AnyOrder(customer=order()))["customer"][0]


def test_the_row_holds_the_parts_and_makes_the_object_again() -> None:
    one = order("a", "b")
    one.lines[1].discounts.append(Discount(percent=5))
    one.address = AnyAddress(city="Ulm")
    row = state_of(one)
    assert [line["sku"] for line in row["lines"]] == ["a", "b"]
    again = restore(AnyOrder, row)
    assert state_of(again) == row
    whole = again.to_dict()
    assert whole["address"] == {"id": one.address.id, "city": "Ulm"}
    assert [(line["sku"], len(line["discounts"])) for line in whole["lines"]] == [("a", 0), ("b", 1)]
    assert again.lines[1].discounts[0].percent == 5
    again.lines[0].ship()
    assert (again.lines[0].order is again, len(raised_events(again))) == (True, 1)


def test_a_refilled_object_keeps_its_lists() -> None:
    one = order("a", "b")
    held, first = one.lines, one.lines[0]
    refill(one, state_of(order("c")))
    assert one.lines is held
    assert skus(held) == "c"
    held.append(first)
    assert skus(one.lines) == "ca"


def test_complaints_about_parts_name_field_and_item_down_to_the_last() -> None:
    one = order("a")
    one.lines[0].discounts.append(Discount(percent=5))
    one.lines[0].discounts.append(Discount(percent=6))
    list.append(one.lines[0].discounts, 7)
    assert messages(lambda: state_of(one)) == {
        "lines": ["item 0: discounts: item 2: must be an instance of Discount, not 7"]
    }


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_has_parts_of_its_own(copied: Callable[[Any], Any]) -> None:
    one = order("a")
    one.address = AnyAddress(city="Ulm")
    twin = copied(one)
    assert state_of(twin) == state_of(one)
    assert twin.lines[0] is not one.lines[0]
    twin.lines[0].ship()
    twin.lines.append(Line(sku="b"))
    twin.address.city = "Bonn"
    assert (len(raised_events(twin)), len(raised_events(one)) if copied is not copy.copy else 0) == (1, 0)
    assert (skus(one.lines), one.address.city) == ("a", "Ulm")
    assert twin.lines[0].order is twin


def test_a_copied_entity_is_part_of_nothing() -> None:
    one = order("a")
    loose = copy.deepcopy(one.lines[0])
    assert loose.order is None
    other = AnyOrder()
    other.lines.append(loose)
    assert skus(one.lines) + skus(other.lines) == "aa"


def test_a_required_single_entity_is_missed_when_saved(domain: Declarations) -> None:
    @domain.aggregate
    class Parcel:
        label = HasOne("Label", required=True)

    @domain.entity(part_of=Parcel)
    class Label:
        text = String()

    domain.registry.compile()
    parcel: Any = Parcel()
    assert messages(lambda: state_of(parcel)) == {"label": ["is required"]}
    parcel.label = Label()
    assert state_of(parcel)["label"]["text"] is None


def test_associations_may_be_annotations_and_come_from_a_plain_class(domain: Declarations) -> None:
    class Numbered:
        lines: HasMany("Line")  # type: ignore[valid-type]  # a call is no type
        buyer: Reference("Buyer", required=True)  # type: ignore[valid-type]  # as above

    @domain.aggregate
    class Invoice(Numbered):
        address: HasOne("Place")  # type: ignore[valid-type]  # as above

    @domain.entity(part_of="Invoice")
    class Line:
        pass

    @domain.entity(part_of="Invoice")
    class Place:
        pass

    @domain.aggregate
    class Buyer:
        pass

    domain.registry.compile()
    invoice: Any = Invoice
    assert messages(invoice) == {"buyer_id": ["is required"]}
    assert (len(invoice(buyer_id="b", lines=[Line()]).lines), invoice(buyer_id="b").address) == (1, None)


NUMBER: Any = 5


def plain(name: str, /, **attributes: Any) -> Any:
    return type(name, (), {"__module__": __name__, **attributes})


def problem(domain: Declarations) -> str:
    with pytest.raises(ConfigurationError) as caught:
        domain.registry.compile()
    return str(caught.value)


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda d: d.entity(plain("A")), "does not say `part_of`"),
        (lambda d: d.entity(part_of="B")(plain("A")), "`part_of` names B, which this domain does not declare"),
        (
            lambda d: [d.aggregate(plain("B")), d.entity(part_of="B")(plain("A"))],
            "is part of B, which has no field for it; add one with HasMany(A) or HasOne(A)",
        ),
        (
            lambda d: [d.entity(part_of="B")(plain("A")), d.entity(part_of="A")(plain("B"))],
            "`part_of` leads in a circle",
        ),
        (
            lambda d: [d.aggregate(plain("B", a=HasMany("A"))), d.aggregate(plain("A"))],
            "`a` names A, a aggregate; an aggregate stands on its own: keep its identity, with Reference(A)",
        ),
        (
            lambda d: [d.aggregate(plain("B", a=HasOne("Ab"))), d.entity(part_of="B")(plain("Abc"))],
            "`a` names Ab, which this domain does not declare, did you mean `Abc`?",
        ),
        (
            lambda d: [
                d.aggregate(plain("B", a=Reference("A"), b=HasOne("A"))),
                d.entity(part_of="B")(plain("A")),
            ],
            "only aggregates are referred to",
        ),
        (
            lambda d: [
                d.aggregate(plain("B", a=HasMany("A"))),
                d.aggregate(plain("C", a=HasMany("A"))),
                d.entity(part_of="B")(plain("A")),
            ],
            "C.a holds A, which is part of B; an entity belongs to one aggregate",
        ),
        (
            lambda d: [
                d.aggregate(plain("B", a=HasMany("A"))),
                d.entity(part_of="B")(plain("A", b_id=Identifier())),
            ],
            "read the identity with `b = Reference(B)`",
        ),
        (
            lambda d: [
                d.aggregate(plain("B", a=HasMany("A"))),
                d.entity(part_of="B", schema_name="b")(plain("A")),
            ],
            "B and A share the table `b`",
        ),
        (
            lambda d: [
                d.aggregate(plain("A", b=Reference("B"))),
                d.aggregate(plain("B", number=Integer(identifier=True))),
            ],
            "whose identity is a whole number; put the class in place of its name",
        ),
    ],
)
def test_what_does_not_fit_together_is_found_at_the_start(
    domain: Declarations, declare: Callable[[Declarations], Any], text: str
) -> None:
    declare(domain)
    assert text in problem(domain)


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda d: d.aggregate(plain("B", a=HasMany(NUMBER))), "HasMany takes a class or its name, not 5"),
        (lambda d: d.aggregate(plain("B", _a=HasMany("A"))), "`_a` of B: an association cannot have this name"),
        (lambda d: d.aggregate(plain("B", raise_=HasOne("A"))), "`raise_` of B: an association cannot have this name"),
        (
            lambda d: d.aggregate(plain("B", a=Reference("A"), a_id=String())),
            "`a_id` of B is declared twice",
        ),
        (
            lambda d: d.aggregate(plain("B", a=HasMany("A"), b=String(referenced_as="a"))),
            "`a` of B is declared twice",
        ),
        (lambda d: d.entity(part_of="B", provider="x")(plain("A")), "unknown option `provider`"),
        (lambda d: d.event(part_of="B")(plain("E", lines=HasMany("A"))), "HasMany is for aggregates and entities"),
        (lambda d: d.command(part_of="B")(plain("E", who=Reference("A"))), "Identifier() for who A is"),
        (lambda d: d.projection(plain("P", id=Identifier(), a=HasOne("A"))), "HasOne is for aggregates and entities"),
        (lambda d: d.event(part_of=Order)(plain("E", __annotations__={"lines": list[OrderLine]})), "OrderLine"),
        (lambda d: d.aggregate(plain("B", __annotations__={"lines": list[OrderLine]})), "HasMany(OrderLine)"),
        (lambda d: d.aggregate(plain("B", __annotations__={"line": OrderLine})), "HasOne(OrderLine)"),
        (lambda d: d.aggregate(indexes=["nmae"])(plain("B", name=String())), "'nmae' is no field of it, did you mean"),
        (lambda d: d.aggregate(indexes="name")(plain("B", name=String())), "give a list"),
        (lambda d: d.aggregate(indexes=[5])(plain("B")), "5 is no index"),
        (lambda d: d.aggregate(indexes=[Index()])(plain("B")), "at least one field"),
        (lambda d: d.aggregate(indexes=["id", ("id",)])(plain("B")), "the same index is there twice"),
    ],
)
def test_what_cannot_be_declared_says_so(
    domain: Declarations, declare: Callable[[Declarations], Any], text: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        declare(domain)
    assert text in str(caught.value)
