"""How elements find each other, and what is said when they do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from protean.elements.declarations import Declarations
from protean.elements.element import ElementKind, info_of
from protean.elements.handlers import handle, on
from protean.elements.payload import PayloadElement
from protean.exceptions import ConfigurationError, UnknownTypeError
from protean.fields import Identifier, String


def plain(name: str, /, **namespace: Any) -> type[Any]:
    return type(name, (), {"__module__": __name__, **namespace})


def handler(name: str, /, *messages: type | str, **extra: Any) -> type[Any]:
    """A handler class with one method for each message."""

    def method(message: type | str) -> Any:
        return handle(message)(lambda self, received: (type(self).__name__, received))

    return plain(name, **{f"take_{index}": method(message) for index, message in enumerate(messages)}, **extra)


@pytest.fixture
def shop(domain: Declarations) -> Declarations:
    """Customers who register, and a view of them; handlers are each test's own."""
    customer = domain.aggregate(plain("Customer", name=String()))
    domain.event(part_of=customer)(plain("Registered", name=String()))
    domain.event(part_of="Customer")(plain("Renamed", name=String()))
    domain.command(part_of="Customer")(plain("Register", name=String()))
    domain.projection(plain("CustomerView", key=Identifier(identifier=True)))
    return domain


def element(domain: Declarations, name: str) -> Any:
    return domain.registry.elements[name]


def problem(domain: Declarations) -> str:
    with pytest.raises(ConfigurationError) as caught:
        domain.registry.compile()
    return str(caught.value)


def test_a_command_finds_its_handler(shop: Declarations) -> None:
    command = element(shop, "Register")
    registers = shop.command_handler(part_of="Customer")(handler("Registers", command))
    route = shop.registry.command_route(command)
    assert (route.aggregate, route.handler) == (element(shop, "Customer"), registers)
    assert route.method(route.handler(), "now") == ("Registers", "now")


def test_a_command_nobody_handles_says_what_to_do(shop: Declarations) -> None:
    with pytest.raises(ConfigurationError, match=r"@handle\(Register\)"):
        shop.registry.command_route(element(shop, "Register"))


def test_a_projector_is_sequenced_and_listens_to_its_aggregates(shop: Declarations) -> None:
    @shop.projector(projector_for="CustomerView", aggregates=["Customer"])
    class Projects:
        @on("Registered")
        @on("Renamed")
        def either(self, event: object) -> str:
            return f"either {event}"

    (spec,) = shop.registry.handlers
    assert (spec.name, spec.kind, spec.cls, spec.sequenced) == ("Projects", ElementKind.PROJECTOR, Projects, True)
    assert (spec.categories, spec.projection) == (("customer",), element(shop, "CustomerView"))
    assert {name: method(spec.cls(), None) for name, method in spec.methods.items()} == {
        "Registered": "either None",
        "Renamed": "either None",
    }
    assert shop.registry.handlers_of("customer") == (spec,)
    assert shop.registry.handlers_of("order") == ()


def test_an_event_handler_listens_to_the_streams_of_its_events_unless_told(shop: Declarations) -> None:
    shop.event_handler(handler("Mails", "Registered"))
    shop.event_handler(stream_categories=["customer", "billing"], sequenced=True)(handler("Audits", "Registered"))
    mails, audits = shop.registry.handlers
    assert (mails.categories, mails.sequenced) == (("customer",), False)
    assert (audits.categories, audits.sequenced) == (("customer", "billing"), True)
    assert shop.registry.handlers_of("billing") == (audits,)


@pytest.mark.proves("@domain.event_handler(subscription_type=…)", "@domain.event_handler(subscription_config=…)")
def test_subscription_options_are_passed_on(shop: Declarations) -> None:
    options: Any = {"subscription_type": "stream", "subscription_config": {"messages_per_tick": 5}}
    shop.event_handler(part_of="Customer", **options)(handler("Mails", "Registered"))
    (spec,) = shop.registry.handlers
    assert (spec.subscription_type, spec.subscription_config) == ("stream", {"messages_per_tick": 5})


def test_messages_repositories_and_databases_are_found_by_name(shop: Declarations) -> None:
    shop.aggregate(provider="archive")(plain("Order"))
    repository = shop.repository(part_of="Order")(plain("Orders"))
    registry = shop.registry
    assert registry.message_type("Registered") is element(shop, "Registered")
    assert issubclass(registry.message_type("Register"), PayloadElement)
    assert registry.repository_class(element(shop, "Order")) is repository
    assert registry.repository_class(element(shop, "Customer")) is None
    assert (registry.provider_of("order"), registry.provider_of("customer")) == ("archive", "default")
    assert info_of(element(shop, "Renamed")).part_of is element(shop, "Customer")
    with pytest.raises(UnknownTypeError, match="'Registred', did you mean `Registered`"):
        registry.message_type("Registred")


def test_what_is_declared_later_is_found_too(shop: Declarations) -> None:
    assert not shop.registry.handlers
    shop.event_handler(handler("Mails", "Registered"))
    assert [spec.name for spec in shop.registry.handlers] == ["Mails"]


def test_a_name_is_used_once(shop: Declarations) -> None:
    with pytest.raises(ConfigurationError, match="two elements are called Customer") as caught:
        shop.event(part_of="Customer")(plain("Customer"))
    assert str(caught.value).count(__name__) == 2


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda d: d.event(plain("Told")), "event Told (MODULE) does not say `part_of`; it needs an aggregate there"),
        (
            lambda d: d.event(part_of="Custmer")(plain("Told")),
            (
                "event Told (MODULE): `part_of` names Custmer, which this domain does not declare, "
                "did you mean `Customer`?"
            ),
        ),
        (
            lambda d: d.event(part_of="CustomerView")(plain("Told")),
            "event Told (MODULE): `part_of` names CustomerView, a projection where an aggregate is needed",
        ),
        (
            lambda d: d.event(part_of=int)(plain("Told")),
            "event Told (MODULE): `part_of` names int, which this domain does not declare",
        ),
        (
            lambda d: d.event_handler(part_of="Customer")(handler("Mails", "Registred")),
            (
                "event handler Mails (MODULE): `@handle on take_0` names Registred, which this domain does not "
                "declare, did you mean `Registered`?"
            ),
        ),
        (
            lambda d: d.event_handler(part_of="Customer")(handler("Mails", "Register")),
            "Mails.take_0 handles the command Register; here only events are handled",
        ),
        (
            lambda d: d.event_handler(part_of="Customer")(plain("Mails")),
            "Mails handles nothing; mark its methods with @handle",
        ),
        (
            lambda d: d.event_handler(part_of="Customer")(handler("Mails", "Registered", "Registered")),
            "Registered has two methods in Mails, take_0 and take_1; keep one",
        ),
        (
            lambda d: d.event_handler(stream_category="order")(handler("Mails", "Registered")),
            (
                "Mails handles Registered of the stream `customer`, but listens to order only; "
                "name its aggregate in the decorator too"
            ),
        ),
        (
            lambda d: d.projector(aggregates=["Customer"])(handler("Projects", "Registered")),
            "projector Projects (MODULE) does not say `projector_for`; it needs a projection there",
        ),
        (
            lambda d: [d.command_handler(part_of="Customer")(handler(name, "Register")) for name in ("One", "Two")],
            "Register has two handlers, One and Two; a command has exactly one",
        ),
        (
            lambda d: d.aggregate(stream_category="customer", schema_name="other")(plain("Client")),
            "Customer and Client share the stream `customer`; give one another stream_category",
        ),
        (
            lambda d: d.projection(schema_name="customer")(plain("Copy", id=Identifier())),
            "Customer and Copy share the table `customer`; give one another schema_name",
        ),
        (
            lambda d: [d.repository(part_of="Customer")(plain(name)) for name in ("One", "Two")],
            "Customer has two repositories, One and Two",
        ),
    ],
)
def test_elements_that_do_not_fit_are_refused(shop: Declarations, declare: Any, text: str) -> None:
    declare(shop)
    assert problem(shop) == text.replace("MODULE", __name__)


def test_all_problems_are_told_at_once(shop: Declarations) -> None:
    shop.event(plain("One"))
    shop.event_handler(plain("Two"))
    assert problem(shop).startswith("this domain cannot start:\n- ")
    assert problem(shop).count("\n- ") == 2


@pytest.mark.parametrize("wrong", [5, None, Ellipsis])
def test_handle_takes_messages_only(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="@handle takes a command, an event or the name of one"):
        handle(wrong)


def test_decorators_take_classes_only(domain: Declarations) -> None:
    wrong: Any = "Customer"
    with pytest.raises(ConfigurationError, match=r"@domain\.aggregate decorates a class, not 'Customer'"):
        domain.aggregate(wrong)
