from __future__ import annotations

import copy
import pickle
import uuid
from typing import Any

import pytest

from protean.elements.aggregate import Aggregate, clear_events, raised_events, set_version, version_of
from protean.elements.declarations import Declarations
from protean.elements.element import identity_of, info_of
from protean.elements.event import Event
from protean.elements.registry import Registry
from protean.elements.state import explicitly_set
from protean.exceptions import ConfigurationError, InvalidOperationError, ValidationError
from protean.fields import Auto, Identifier, Integer, String

shop = Declarations(Registry())


@shop.aggregate
class Customer(Aggregate):
    name: str = String(max_length=10, required=True)
    visits: int = Integer(default=0, min_value=0)
    tags: list[str] = []

    def rename(self, name: str) -> None:
        self.name = name
        self.raise_(Renamed(name=name))

    @property
    def shouted(self) -> str:
        return self.name.upper()

    @shouted.setter
    def shouted(self, name: str) -> None:
        raise ValueError(f"not so loud: {name}")


@shop.event(part_of=Customer)
class Renamed(Event):
    name: str


@shop.aggregate
class LoyaltyAccount:
    number: Identifier(identifier=True)  # type: ignore[valid-type]  # a call is no type


AnyCustomer: Any = Customer
AnyAccount: Any = LoyaltyAccount


def test_an_aggregate_has_a_random_identity_a_version_and_no_events() -> None:
    customer = AnyCustomer(name="Ada")
    assert uuid.UUID(customer.id).version == 4
    assert customer.id != AnyCustomer(name="Ada").id
    assert (customer._version, version_of(customer), raised_events(customer)) == (-1, -1, ())


def test_events_are_collected_in_order_until_cleared() -> None:
    customer = Customer(name="Ada")
    customer.rename("Bea")
    customer.rename("Cleo")
    assert [vars(event) for event in raised_events(customer)] == [{"name": "Bea"}, {"name": "Cleo"}]
    clear_events(customer)
    assert raised_events(customer) == ()


def test_only_own_events_can_be_raised() -> None:
    account = AnyAccount(number="1")
    with pytest.raises(InvalidOperationError, match="Renamed is part of Customer; LoyaltyAccount cannot raise it"):
        account.raise_(Renamed(name="x"))
    with pytest.raises(InvalidOperationError, match=r"declare its class with @domain\.event"):
        account.raise_({"name": "x"})


def test_assignments_are_validated_by_field_and_change_nothing_when_refused() -> None:
    customer = AnyCustomer(name="Ada")
    with pytest.raises(ValidationError) as caught:
        customer.visits = -1
    assert caught.value.messages == {"visits": ["must be at least 0, not -1"]}
    assert customer.visits == 0
    with pytest.raises(ValidationError) as caught:
        customer.nmae = "x"
    assert caught.value.messages == {"nmae": ["is not a field of Customer; did you mean `name`?"]}


def test_a_propertys_own_error_passes_unchanged() -> None:
    with pytest.raises(ValueError, match="not so loud"):
        Customer(name="Ada").shouted = "X"


def test_unknown_arguments_are_named_with_a_suggestion() -> None:
    with pytest.raises(ValidationError) as caught:
        AnyCustomer(name="Ada", vists=3)
    assert caught.value.messages == {"vists": ["is not a field of Customer; did you mean `visits`?"]}


def test_the_identity_never_changes() -> None:
    customer: Any = Customer(name="Ada")
    with pytest.raises(ValidationError, match="id: is the identity and never changes"):
        customer.id = "other"


def test_aggregates_are_equal_by_class_and_identity() -> None:
    one: Any = Customer(name="Ada")
    same = type(one)(id=one.id, name="Other")
    assert one == same
    assert len({one, same, Customer(name="Ada")}) == 2
    assert AnyAccount(number=one.id) != one


def test_copies_and_pickles_keep_version_and_events() -> None:
    customer = Customer(name="Ada")
    customer.rename("Bea")
    set_version(customer, 4)
    for twin in (copy.deepcopy(customer), pickle.loads(pickle.dumps(customer))):
        assert (twin, twin.name, version_of(twin)) == (customer, "Bea", 4)
        assert len(raised_events(twin)) == 1


def test_explicitly_set_are_arguments_and_assignments() -> None:
    customer: Any = Customer(name="Ada")
    assert explicitly_set(customer) == {"name"}
    customer.visits = 1
    assert explicitly_set(customer) == {"name", "visits"}


def test_names_of_streams_and_tables_follow_the_class() -> None:
    info = info_of(LoyaltyAccount)
    assert (info.stream_category, info.schema_name, info.identity) == ("loyalty_account", "loyalty_account", "number")
    assert identity_of(AnyAccount(number=7)) == "7"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"stream_category": "a:b"}, "stream_category of Order is 'a:b'"),
        ({"stream_category": "Order"}, "stream_category of Order is 'Order'"),
        ({"stream_category": "dlq"}, "names a part of every stream"),
        ({"stream_category": "command"}, "names a part of every stream"),
        ({"schema_name": "outbox"}, "the framework's own"),
        ({"schema_name": "x" * 64}, "up to 63 characters"),
        (
            {"stream_categry": "x"},
            "@domain.aggregate: unknown option `stream_categry`, did you mean `stream_category`?",
        ),
        ({"auto_add_id_field": False}, "Order has no identity"),
    ],
)
def test_options_that_cannot_work_are_refused(domain: Declarations, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text.replace("?", r"\?")):
        domain.aggregate(**options)(type("Order", (), {"__module__": __name__}))


def test_a_field_called_id_identifies_unless_another_is_marked(domain: Declarations) -> None:
    plain: type = domain.aggregate(type("Plain", (), {"id": Integer(), "__module__": __name__}))
    assert info_of(plain).identity == "id"
    marked = {"id": Integer(), "key": Auto(identifier=True), "__module__": __name__}
    assert info_of(domain.aggregate(type("Marked", (), marked))).identity == "key"
    twice = {"a": Auto(identifier=True), "b": Auto(identifier=True), "__module__": __name__}
    with pytest.raises(ConfigurationError, match="Twice has several identifiers: a, b"):
        domain.aggregate(type("Twice", (), twice))


def test_a_projection_says_what_identifies_it(domain: Declarations) -> None:
    with pytest.raises(ConfigurationError, match="View has no identity"):
        domain.projection(type("View", (), {"name": String(), "__module__": __name__}))
