"""What must hold of aggregates, entities and value objects. See tests/write/test_values.py for databases."""

from __future__ import annotations

import copy
import enum
from typing import Any

import pytest

from protean import atomic_change, invariant
from protean.elements.aggregate import raised_events
from protean.elements.declarations import Declarations
from protean.elements.guarding import Guarded
from protean.elements.payload import decode
from protean.elements.registry import Registry
from protean.elements.state import restore, state_of
from protean.exceptions import ConfigurationError, DeserializationError, InvalidOperationError, ValidationError
from protean.fields import HasMany, HasOne, Identifier, Integer, List, Nested, Status, String, ValueObject

shop = Declarations(Registry())


class Stage(enum.Enum):
    DRAFT = "draft"
    PLACED = "placed"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"


@shop.value_object
class Period:
    begins: Integer(required=True)  # type: ignore[valid-type]  # a call is no type
    ends: Integer(required=True)  # type: ignore[valid-type]  # as above

    @invariant.post
    def begins_before_it_ends(self) -> None:
        if self.begins > self.ends:
            raise ValidationError({"ends": ["is before the beginning"]})

    @invariant.post
    def is_not_endless(self) -> None:
        if self.ends - self.begins > 1000:
            raise ValueError("is too long")


@shop.entity(part_of="Order")
class Line:
    quantity: Integer(default=1)  # type: ignore[valid-type]  # as above
    notes: List(str, default=list)  # type: ignore[valid-type]  # as above

    @invariant.post
    def is_bought(self) -> None:
        if self.quantity < 1:
            raise ValidationError({"quantity": ["of a line is at least 1"]})


@shop.entity(part_of="Order")
class Address:
    """Has no invariants of its own; its order's concern it all the same."""

    city: String()  # type: ignore[valid-type]  # as above


@shop.aggregate
class Order:
    total: Integer(default=0)  # type: ignore[valid-type]  # as above
    closed: Integer(default=0)  # type: ignore[valid-type]  # as above
    tags: List(str, default=list)  # type: ignore[valid-type]  # as above
    lines = HasMany(Line)
    address = HasOne(Address)

    @invariant.pre
    def is_open(self) -> None:
        if self.closed:
            raise ValueError("the order is closed")

    @invariant.post
    def total_is_of_the_lines(self) -> None:
        if self.total != sum(line.quantity for line in self.lines):
            raise ValidationError({"total": ["is not that of the lines"]})

    @invariant.post
    def knows_the_city(self) -> object:
        return ValueError("nobody delivers to Atlantis") if self.address and self.address.city == "Atlantis" else None


@shop.event(part_of=Order)
class Noted:
    period: Period | None = None


@shop.aggregate
class Parcel:
    stage: Stage = Status(
        Stage,
        transitions={
            Stage.DRAFT: [Stage.PLACED, Stage.CANCELLED],
            "placed": ["shipped"],
        },
        default=Stage.DRAFT,
    )
    maybe = Status(Stage, transitions={Stage.DRAFT: [Stage.PLACED]})
    free = Status(Stage)
    count: Integer(default=0)  # type: ignore[valid-type]  # as above


shop.registry.compile()
AnyPeriod: Any = Period
AnyLine: Any = Line
AnyAddress: Any = Address
AnyOrder: Any = Order
AnyNoted: Any = Noted
AnyParcel: Any = Parcel


def complaints(*steps: Any) -> dict[str, list[str]]:
    def all_of_them() -> None:
        for step in steps:
            step()

    with pytest.raises(ValidationError) as caught:
        all_of_them()
    return caught.value.messages


def order(*quantities: int) -> Any:
    return AnyOrder(total=sum(quantities), lines=[AnyLine(quantity=quantity) for quantity in quantities])


def test_none_is_made_of_which_they_do_not_hold() -> None:
    assert complaints(lambda: AnyOrder(total=1)) == {"total": ["is not that of the lines"]}
    assert complaints(lambda: AnyPeriod(begins=2, ends=1)) == {"ends": ["is before the beginning"]}
    assert complaints(lambda: AnyPeriod(begins=1, ends=1).replace(ends=5000)) == {"_entity": ["is too long"]}


def test_everything_that_does_not_hold_is_said_at_once() -> None:
    address = AnyAddress(city="Atlantis")
    found = complaints(lambda: AnyOrder(total=1, address=address))
    assert found == {"total": ["is not that of the lines"], "_entity": ["nobody delivers to Atlantis"]}


def test_of_a_value_object_inside_it_is_said_where_it_is(domain: Declarations) -> None:
    trip: Any = domain.aggregate(
        type(
            "Trip",
            (),
            {"period": ValueObject(Period), "legs": List(Period), "packed": Nested(Period), "__module__": __name__},
        )
    )
    wrong, endless = {"begins": 2, "ends": 1}, {"begins": 2, "ends": 2000}
    assert complaints(lambda: trip(period=wrong, legs=[endless, wrong], packed=endless)) == {
        "period": ["ends: is before the beginning"],
        "legs": ["item 0: is too long", "item 1: ends: is before the beginning"],
        "packed": ["is too long"],
    }
    with pytest.raises(DeserializationError, match="`period` ends: is before the beginning"):
        decode(AnyNoted, {"period": wrong})


def test_a_change_that_breaks_one_is_undone() -> None:
    mine = order(2)
    before = state_of(mine), set(mine.model_fields_set)
    assert complaints(lambda: setattr(mine, "total", 3)) == {"total": ["is not that of the lines"]}
    assert complaints(lambda: setattr(mine, "lines", [])) == {"total": ["is not that of the lines"]}
    assert (state_of(mine), set(mine.model_fields_set)) == before
    untouched = AnyOrder()
    assert complaints(lambda: setattr(untouched, "total", 3))
    assert "total" not in untouched.model_fields_set


def test_a_change_of_a_part_is_a_change_of_the_whole() -> None:
    mine = order(2)
    assert complaints(lambda: setattr(mine.lines[0], "quantity", 3)) == {"total": ["is not that of the lines"]}
    assert mine.lines[0].quantity == 2
    mine.address = AnyAddress(city="Lund")
    assert complaints(lambda: setattr(mine.address, "city", "Atlantis")) == {"_entity": ["nobody delivers to Atlantis"]}
    atlantis = AnyAddress(city="Atlantis")
    assert complaints(lambda: setattr(mine, "address", atlantis)) == {"_entity": ["nobody delivers to Atlantis"]}
    assert mine.address.city == "Lund"
    assert complaints(lambda: setattr(mine.address, "city", "Atlantis")) == {"_entity": ["nobody delivers to Atlantis"]}
    mine.address.city = "Malmö"
    atlantis.city = "part of nothing, anything goes"


def test_what_a_list_is_told_is_a_change_too_and_undone() -> None:
    mine = order(2)
    changes: list[Any] = [
        lambda: mine.lines.append(AnyLine()),
        lambda: mine.lines.insert(0, AnyLine()),
        lambda: mine.lines.extend([AnyLine(), AnyLine()]),
        mine.lines.clear,
        mine.lines.pop,
        lambda: mine.lines.remove(mine.lines[0]),
        lambda: mine.lines.__setitem__(0, AnyLine(quantity=5)),
    ]
    line = mine.lines[0]
    for change in changes:
        assert complaints(change) == {"total": ["is not that of the lines"]}
        assert [*mine.lines] == [line]
    line.notes = ["still a part of it"]
    assert complaints(lambda: setattr(line, "quantity", 3)) == {"total": ["is not that of the lines"]}


def test_pre_is_looked_at_before_a_change_and_not_at_construction() -> None:
    mine = AnyOrder(closed=1)
    assert complaints(lambda: setattr(mine, "tags", ["x"])) == {"_entity": ["the order is closed"]}
    assert complaints(lambda: mine.lines.append(AnyLine())) == {"_entity": ["the order is closed"]}
    assert complaints(lambda: _change(mine)) == {"_entity": ["the order is closed"]}
    assert (mine.tags, mine.total) == ([], 0)


def _change(mine: Any) -> None:
    with atomic_change(mine):
        mine.total = 7


def test_an_atomic_change_may_pass_through_what_does_not_hold() -> None:
    mine = order(2)
    with atomic_change(mine):
        mine.total = 5
        mine.lines.append(AnyLine(quantity=9))
        mine.lines[1].quantity = 0
        mine.lines[0].quantity = 4
        with atomic_change(mine):
            mine.total = 6
        mine.total = 5
        mine.lines[1].quantity = 1
    assert (mine.total, [line.quantity for line in mine.lines]) == (5, [4, 1])


def test_an_atomic_change_that_ends_badly_is_undone_with_its_events() -> None:
    mine = order(2, 3)
    mine.raise_(AnyNoted())
    before, lines, events = state_of(mine), [*mine.lines], raised_events(mine)

    def changes(fails: bool) -> None:
        with atomic_change(mine):
            mine.total = 1
            mine.tags.append("changed")
            mine.lines[0].quantity = 9
            mine.lines[1].notes.append("gone")
            del mine.lines[1]
            mine.lines.append(AnyLine())
            mine.address = AnyAddress(city="Lund")
            mine.raise_(AnyNoted())
            if fails:
                raise KeyError("on the way")

    assert complaints(lambda: changes(fails=False)) == {"total": ["is not that of the lines"]}
    assert (state_of(mine), [*mine.lines], raised_events(mine)) == (before, lines, events)
    with pytest.raises(KeyError):
        changes(fails=True)
    assert (state_of(mine), [*mine.lines], raised_events(mine)) == (before, lines, events)
    assert complaints(lambda: setattr(mine.lines[1], "quantity", 4)) == {"total": ["is not that of the lines"]}


def test_an_atomic_change_looks_at_the_parts_too() -> None:
    mine = order(2)

    def empties(total: int) -> None:
        with atomic_change(mine):
            mine.total = total
            mine.lines[0].quantity = 0

    assert complaints(lambda: empties(0)) == {"quantity": ["of a line is at least 1"]}
    assert complaints(lambda: empties(7)) == {
        "quantity": ["of a line is at least 1"],
        "total": ["is not that of the lines"],
    }
    assert mine.lines[0].quantity == 2


def test_an_entity_may_be_changed_in_one_go_and_its_root_is_looked_at() -> None:
    mine = order(2)

    def change(quantity: int) -> None:
        with atomic_change(mine.lines[0]):
            mine.lines[0].quantity = quantity
            mine.lines[0].quantity = 3

    assert complaints(lambda: change(9)) == {"total": ["is not that of the lines"]}
    assert mine.lines[0].quantity == 2


def test_only_what_changes_can_be_changed_in_one_go() -> None:
    with pytest.raises(InvalidOperationError, match="takes an aggregate or an entity, not"), atomic_change(AnyNoted()):
        pass


def test_restored_objects_are_taken_as_they_are() -> None:
    row = {**state_of(order(2)), "total": 99}
    mine = restore(AnyOrder, row)
    assert mine.total == 99
    mine.total = 2
    assert complaints(lambda: setattr(mine, "total", 99))


def test_copies_are_watched_as_well() -> None:
    twin = copy.deepcopy(order(2))
    assert complaints(lambda: setattr(twin, "total", 3))


def test_classes_without_anything_to_look_at_pay_nothing() -> None:
    plain: Any = shop.aggregate(type("Plain", (), {"name": String(), "__module__": __name__}))
    assert not issubclass(plain, Guarded)
    assert issubclass(AnyParcel, Guarded)


def test_an_invariant_that_changes_something_or_answers_is_told_off(domain: Declarations) -> None:
    @domain.aggregate
    class Busy:
        count: Integer(default=0)  # type: ignore[valid-type]  # as above
        wish: Integer(default=0)  # type: ignore[valid-type]  # as above

        @invariant.post
        def meddles(self) -> object:
            if self.wish == 1:
                self.count = 1
            return False if self.wish == 2 else None

    busy: Any = Busy
    mine = busy()
    with pytest.raises(InvalidOperationError, match="an invariant of Busy changes it"):
        mine.wish = 1
    with pytest.raises(InvalidOperationError, match="`meddles` of Busy returned False; let it raise"):
        mine.wish = 2
    assert (mine.wish, mine.count) == (0, 0)
    with pytest.raises(InvalidOperationError, match="an invariant of Busy changes it"):
        busy(wish=1)


def test_invariants_are_inherited_and_overridden(domain: Declarations) -> None:
    class Small:
        count = Integer(default=0)

        @invariant.post
        def is_small(self) -> None:
            if self.count >= 10:
                raise AssertionError

    class Smaller(Small):
        @invariant.post
        def is_small(self) -> None:
            if self.count >= 5:
                raise AssertionError("is 5 or more")

    small: Any = domain.aggregate(type("First", (Small,), {"__module__": __name__}))
    smaller: Any = domain.aggregate(type("Second", (Smaller,), {"__module__": __name__}))
    assert complaints(lambda: small(count=10)) == {"_entity": ["`is_small` does not hold"]}
    assert complaints(lambda: smaller(count=5)) == {"_entity": ["is 5 or more"]}
    mine = smaller()
    assert complaints(lambda: setattr(mine, "count", 5)) == {"_entity": ["is 5 or more"]}


def test_invariants_that_nobody_would_look_at_are_refused(domain: Declarations) -> None:
    def body(marked: Any) -> Any:
        return type("Thing", (), {"x": Integer(), "rule": marked, "__module__": __name__})

    async def later(self: Any) -> None: ...

    before, after = invariant.pre(lambda self: None), invariant.post(lambda self: None)
    for decorate in (domain.event(part_of="Order"), domain.command(part_of="Order")):
        with pytest.raises(
            ConfigurationError, match="Thing has invariants, which are for aggregates, entities and value"
        ):
            decorate(body(after))
    with pytest.raises(ConfigurationError, match="never changes, so nothing comes before a change"):
        domain.value_object(body(before))
    with pytest.raises(ConfigurationError, match="the invariant `rule` of Thing must be plain code"):
        domain.aggregate(body(invariant.post(later)))
    anyhow: Any = invariant
    with pytest.raises(ConfigurationError, match=r"write @invariant\.post"):
        anyhow(later)
    with pytest.raises(ConfigurationError, match="marks a method, not 5"):
        anyhow.pre(5)


def test_a_status_moves_along_its_transitions() -> None:
    parcel = AnyParcel()
    assert parcel.stage is Stage.DRAFT
    parcel.stage = "draft"
    found = complaints(lambda: setattr(parcel, "stage", Stage.SHIPPED))
    assert found == {"stage": ["cannot become SHIPPED from DRAFT; it may become PLACED, CANCELLED"]}
    assert parcel.stage is Stage.DRAFT
    parcel.stage = Stage.PLACED
    parcel.stage = "shipped"
    assert complaints(lambda: setattr(parcel, "stage", Stage.DRAFT)) == {
        "stage": ["cannot become DRAFT from SHIPPED; SHIPPED is final"]
    }
    assert complaints(lambda: setattr(parcel, "stage", "lost"))["stage"][0].startswith("must be 'draft'")


def test_from_none_every_state_may_begin_and_none_is_no_move() -> None:
    parcel = AnyParcel(stage=Stage.SHIPPED)
    parcel.maybe = Stage.DRAFT
    assert complaints(lambda: setattr(parcel, "maybe", None)) == {
        "maybe": ["cannot become None from DRAFT; it may become PLACED"]
    }
    parcel.free = Stage.SHIPPED
    parcel.free = Stage.DRAFT


def test_moves_are_looked_at_step_by_step_in_an_atomic_change() -> None:
    parcel = AnyParcel()

    def jumps() -> None:
        with atomic_change(parcel):
            parcel.count = 3
            parcel.stage = Stage.SHIPPED

    assert complaints(jumps) == {"stage": ["cannot become SHIPPED from DRAFT; it may become PLACED, CANCELLED"]}
    assert parcel.count == 0


def test_a_status_is_stored_as_its_value() -> None:
    row = state_of(AnyParcel())
    assert (row["stage"], restore(AnyParcel, row).stage) == ("draft", Stage.DRAFT)


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda: Status("draft"), "Status() takes an Enum class, not 'draft'"),
        (lambda: Status(Stage, choices=["draft"]), "the choices are the members of Stage"),
        (
            lambda: Status(Stage, transitions={"draft": ["sent"]}),
            "'sent' is no member of Stage; there are DRAFT, PLACED",
        ),
        (lambda: Status(Stage, transitions={"draft": "placed"}), "the moves from DRAFT must be a list, not 'placed'"),
    ],
)
def test_a_status_that_cannot_work_is_refused(declare: Any, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        declare()
    assert text in str(caught.value)


def test_a_status_in_an_event_is_the_state_itself(domain: Declarations) -> None:
    moved: Any = domain.event(part_of="Parcel")(
        type("Moved", (), {"stage": Status(Stage, transitions={}), "parcel": Identifier(), "__module__": __name__})
    )
    assert moved(stage="shipped").stage is Stage.SHIPPED
