"""Declaring event-sourced aggregates: what fits together, and what their events do to them."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

import pytest

from protean import apply, invariant
from protean.elements.aggregate import raised_events
from protean.elements.declarations import Declarations
from protean.elements.payload import decode
from protean.elements.sourcing import blank, replay
from protean.exceptions import ConfigurationError, InvalidOperationError, ValidationError
from protean.fields import HasMany, Identifier, Integer, List, String, ValueObject


class Opened:
    owner = String(required=True)


class Paid:
    amount = Integer(required=True)


class Account:
    owner = String(max_length=10)
    balance = Integer(default=0)
    notes = List(default=list)


def declared(domain: Declarations, *methods: Callable[..., Any], **options: Any) -> Any:
    """An account with these methods, and its events."""
    for event in (Opened, Paid):
        domain.event(part_of="Account")(type(event.__name__, (event,), {}))
    body = {method.__name__: method for method in methods}
    return domain.aggregate(event_sourced=True, **options)(type("Account", (Account,), body))


def opened(self: Any, event: Any) -> None:
    self.owner = event.owner
    self.notes.append("opened")


def paid(self: Any, event: Any) -> None:
    self.balance += event.amount


def applying(event: str, function: Any) -> Any:
    """A copy of the function, marked: marks stay on what they were put on."""
    return apply(event)(FunctionType(function.__code__, globals(), function.__name__))


@pytest.fixture
def account(domain: Declarations) -> Any:
    cls = declared(domain, applying("Opened", opened), applying("Paid", paid))
    domain.registry.compile()
    return cls


@pytest.fixture
def events(domain: Declarations, account: Any) -> Any:
    return domain.registry.elements


def test_the_event_is_found_by_annotation_class_or_name(domain: Declarations) -> None:
    event = domain.event(part_of="Account")(type("Opened", (Opened,), {}))
    other = domain.event(part_of="Account")(type("Paid", (Paid,), {}))
    closed = domain.event(part_of="Account")(type("Closed", (), {}))

    def by_annotation(self: Any, event: Any) -> None: ...
    def by_text(self: Any, event: Any) -> None: ...
    def by_class(self: Any, event: Any) -> None: ...

    by_annotation.__annotations__["event"] = event
    by_text.__annotations__["event"] = "shop.events.Paid"
    body = {"a": apply(by_annotation), "b": apply(by_text), "c": apply(closed)(by_class)}
    cls: Any = domain.aggregate(event_sourced=True)(type("Account", (Account,), body))
    domain.registry.compile()
    assert set(cls.__applied_by__) == {"Opened", "Paid", "Closed"}
    assert other.__name__ == "Paid"


def test_one_method_may_apply_several_events(domain: Declarations) -> None:
    def either(self: Any, event: Any) -> None: ...

    either.__annotations__["event"] = "Opened | Paid"
    cls = declared(domain, apply(either))
    domain.registry.compile()
    assert set(cls.__applied_by__) == {"Opened", "Paid"}


def test_an_event_without_a_method_is_named_at_start(domain: Declarations) -> None:
    declared(domain, applying("Opened", opened))
    with pytest.raises(ConfigurationError, match="Account is event sourced and has no @apply method for Paid"):
        domain.registry.compile()


def test_a_method_for_what_is_no_event_of_it_is_named_at_start(domain: Declarations) -> None:
    declared(domain, apply("Payed")(apply("Paid")(applying("Opened", opened))))
    with pytest.raises(ConfigurationError, match=r"applies Payed, which is no event of Account, did you mean `Paid`\?"):
        domain.registry.compile()


def test_two_methods_for_one_event_are_refused(domain: Declarations) -> None:
    with pytest.raises(ConfigurationError, match="Opened has two @apply methods in Account, opened and paid"):
        declared(domain, applying("Opened", opened), applying("Opened", paid))


def test_what_cannot_be_applied_is_refused_where_it_is_declared(domain: Declarations) -> None:
    def unsaid(self: Any, event) -> None: ...  # type: ignore[no-untyped-def]  # the point

    async def later(self: Any, event: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="unsaid does not say which event it applies"):
        domain.aggregate(event_sourced=True)(type("A", (), {"unsaid": apply(unsaid)}))
    with pytest.raises(ConfigurationError, match="later must be plain code"):
        domain.aggregate(event_sourced=True)(type("B", (), {"later": apply("Paid")(later)}))
    with pytest.raises(ConfigurationError, match="D is not event sourced"):
        domain.aggregate(type("D", (), {"paid": applying("Paid", paid)}))
    with pytest.raises(ConfigurationError, match="`mail` of E cannot be unique"):
        domain.aggregate(event_sourced=True)(type("E", (), {"mail": String(unique=True)}))
    wrong: Any = 5
    with pytest.raises(ConfigurationError, match="@apply marks a method"):
        apply(wrong)


def test_raising_and_replaying_give_the_same_state(account: Any, events: Any) -> None:
    live = account(id="1", owner="Ann")
    happened = [events["Opened"](owner="Ann"), events["Paid"](amount=2), events["Paid"](amount=3)]
    for event in happened:
        live.raise_(event)
    again = blank(account, "1")
    for event in happened:
        replay(again, event)
    assert (live.balance, live.notes, raised_events(live)) == (5, ["opened"], tuple(happened))
    assert {**live.__dict__} == {**again.__dict__}
    assert raised_events(again) == ()


def test_state_is_set_by_events_alone(account: Any, events: Any) -> None:
    one = account(id="1")
    with pytest.raises(InvalidOperationError, match=r"Account\.balance cannot be set to 5 here"):
        one.balance = 5
    with pytest.raises(ValidationError, match="is not a field of Account; did you mean `balance`"):
        one.balence = 5


def test_an_event_that_cannot_be_applied_has_not_happened(account: Any, events: Any) -> None:
    one = account(id="1", owner="Ann")
    with pytest.raises(ValidationError, match="owner: must have at most 10 characters"):
        one.raise_(events["Opened"](owner="x" * 11))
    assert (one.owner, one.notes, raised_events(one)) == ("Ann", [], ())


def test_history_stands_when_rules_have_become_stricter(account: Any, events: Any) -> None:
    one = blank(account, "1")
    replay(one, events["Opened"](owner="x" * 11))
    assert one.owner == "x" * 11


@pytest.mark.parametrize(
    ("amount", "complaint"),
    [
        (101, "cents: must be at most 100"),
        (7, "is unlucky"),
        (9, "is odd"),
        (11, "is a prime"),
        (50, "must be at most 20"),
    ],
    ids=["a field of a part", "its invariant", "that of a value", "that of the whole", "an assignment"],
)
def test_history_stands_in_parts_and_values_too(domain: Declarations, amount: int, complaint: str) -> None:
    def holds(self: Any, name: str, wrong: int, text: str) -> None:
        if getattr(self, name) == wrong:
            raise ValueError(text)

    @domain.value_object
    class Worth:
        cents = Integer()

        @invariant.post
        def is_even(self) -> None:
            holds(self, "cents", 9, "is odd")

    @domain.entity(part_of="Purse")
    class Coin:
        cents = Integer(max_value=100)
        sides = Integer(required=True)
        worn = Integer(max_value=20)

        @invariant.post
        def is_lucky(self) -> None:
            holds(self, "cents", 7, "is unlucky")

    @domain.event(part_of="Purse")
    class Filled:
        cents = Integer(required=True)

    @domain.aggregate(event_sourced=True)
    class Purse:
        coins = HasMany(Coin)
        worth = ValueObject(Worth)

        @apply
        def filled(self, event: Filled) -> None:
            coin: Any = Coin
            value: Any = Worth
            self.coins.append(coin(id="c", cents=event.cents, sides=2))
            self.worth = value(cents=event.cents)
            self.coins[0].worn = event.cents

        @invariant.post
        def is_no_prime(self) -> None:
            if self.worth is not None:
                holds(self.worth, "cents", 11, "is a prime")

    domain.registry.compile()
    purse, event = cast("Any", Purse), cast("Any", Filled)(cents=amount)
    with pytest.raises(ValidationError, match=complaint):
        purse(id="1").raise_(event)
    again = blank(purse, "1")
    replay(again, event)
    (coin,) = again.coins
    assert (coin.cents, coin.sides, coin.worn, again.worth.cents) == (amount, 2, amount, amount)
    assert coin.__pydantic_private__["_link"].owner is again


def test_what_an_apply_method_changes_in_place_is_undone_too_when_it_fails(domain: Declarations) -> None:
    def half(self: Any, event: Any) -> None:
        self.notes.append("half")
        raise ValueError("no")

    cls = declared(domain, apply("Opened")(half), applying("Paid", paid))
    domain.registry.compile()
    one: Any = cls(id="1")
    with pytest.raises(ValueError, match="no"):
        one.raise_(domain.registry.elements["Opened"](owner="Ann"))
    assert one.notes == []


def test_an_apply_method_raises_nothing(domain: Declarations) -> None:
    def busy(self: Any, event: Any) -> None:
        self.raise_(domain.registry.elements["Paid"](amount=1))

    cls = declared(domain, apply("Opened")(busy), applying("Paid", paid))
    domain.registry.compile()
    one: Any = cls(id="1")
    with pytest.raises(InvalidOperationError, match="raises Paid while it applies another event"):
        one.raise_(domain.registry.elements["Opened"](owner="Ann"))
    assert raised_events(one) == ()


def test_its_identity_may_be_said_again_and_not_be_changed(domain: Declarations) -> None:
    @domain.event(part_of="Thing")
    class Made:
        thing_id = Identifier(required=True)

    def made(self: Any, event: Any) -> None:
        self.thing_id = event.thing_id

    body = {"thing_id": Identifier(identifier=True), "made": apply("Made")(made)}
    thing: Any = domain.aggregate(event_sourced=True)(type("Thing", (), body))
    domain.registry.compile()
    event: Any = Made
    one = thing(thing_id="1")
    one.raise_(event(thing_id="1"))
    with pytest.raises(ValidationError, match="is the identity and never changes"):
        one.raise_(event(thing_id="2"))
    again = blank(thing, "1")
    with pytest.raises(Exception, match="frozen"):
        replay(again, event(thing_id="2"))


def test_facts_have_the_fields_of_their_aggregate_and_a_category_of_their_own(domain: Declarations) -> None:
    declared(domain, applying("Opened", opened), applying("Paid", paid), fact_events=True)
    domain.registry.compile()
    fact: Any = domain.registry.elements["AccountFactEvent"]
    assert set(fact.__protean__.fields) == {"id", "owner", "balance", "notes"}
    assert fact.__protean__.stream_category == "account-fact"
    assert domain.registry.provider_of("account-fact") == "default"
    assert fact(id="1").owner is None


def test_facts_are_published_where_their_aggregate_says_so(domain: Declarations) -> None:
    @domain.aggregate(fact_events=True, published_facts=True)
    class Ticket:
        seat: String()

    @domain.aggregate(fact_events=True)
    class Visitor:
        name: String()

    domain.registry.compile()
    assert domain.registry.published == {"TicketFactEvent"}


def test_facts_that_nobody_tells_cannot_be_published(domain: Declarations) -> None:
    class Ticket:
        seat: String()

    with pytest.raises(
        ConfigurationError, match=r"published_facts of Ticket.*fact_events=True as well.*published=True"
    ):
        domain.aggregate(published_facts=True)(Ticket)
    with pytest.raises(ConfigurationError, match=r"unknown option `published`.*published_facts"):
        domain.aggregate(published=True)(Ticket)  # type: ignore[call-overload]  # that is what is refused


def test_a_fact_from_before_a_field_and_a_rule_can_be_read(domain: Declarations) -> None:
    @domain.aggregate(fact_events=True)
    class Ticket:
        seat = String(required=True, max_length=3)

    domain.registry.compile()
    fact: Any = domain.registry.elements["TicketFactEvent"]
    assert (decode(fact, {}).seat, decode(fact, {"seat": "loge 7"}).seat) == (None, "loge 7")


def test_a_handler_of_facts_listens_to_them_beside_the_aggregate_that_it_names(domain: Declarations) -> None:
    from protean import handle

    cls = declared(domain, applying("Opened", opened), applying("Paid", paid), fact_events=True)

    def told(self: Any, event: Any) -> None: ...

    body = {"told": handle("AccountFactEvent")(told)}
    domain.event_handler(part_of=cls)(type("Both", (), dict(body)))
    domain.event_handler(type("One", (), dict(body)))
    specs = {spec.name: spec.categories for spec in domain.registry.handlers}
    assert specs == {"Both": ("account", "account-fact"), "One": ("account-fact",)}
