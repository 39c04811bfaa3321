"""Upcasters, former names and enrichers as they are declared, and what is said of those that cannot work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from protean.elements.declarations import Declarations
from protean.elements.handlers import handle
from protean.exceptions import ConfigurationError, UnknownTypeError
from protean.message import MessageKind


def plain(name: str, /, **namespace: Any) -> type[Any]:
    return type(name, (), {"__module__": __name__, **namespace})


def upcaster(domain: Declarations, name: str, from_version: int, to_version: int, event: Any = "Placed") -> Any:
    declare = domain.upcaster(event_type=event, from_version=from_version, to_version=to_version)
    return declare(plain(name, upcast=lambda self, data: data))


@pytest.fixture
def shop(domain: Declarations) -> Declarations:
    """Orders, of which `Placed` has had three versions."""
    domain.aggregate(plain("Order"))
    domain.event(part_of="Order")(plain("Placed", __version__=3))
    domain.event(part_of="Order", aliases=["Sent", "Dispatched"])(plain("Shipped"))
    domain.command(part_of="Order")(plain("Place"))
    return domain


def problem(domain: Declarations) -> str:
    with pytest.raises(ConfigurationError) as caught:
        domain.registry.compile()
    return str(caught.value)


def test_a_chain_leads_from_every_version_to_the_last(shop: Declarations) -> None:
    placed = shop.registry.elements["Placed"]
    far, near = upcaster(shop, "Far", 1, 3, placed), upcaster(shop, "Near", 2, 3)
    shop.registry.compile()
    chain = shop.registry.chain(shop.registry.message_type("Placed"))
    assert {version: (step.upcaster, step.to_version) for version, step in chain.items()} == {1: (far, 3), 2: (near, 3)}
    assert shop.registry.chain(shop.registry.message_type("Shipped")) == {}


def test_commands_have_versions_as_well(shop: Declarations) -> None:
    upcaster(shop, "One", 1, 3)
    upcaster(shop, "Two", 2, 3)
    shop.command(part_of="Order")(plain("Cancel", __version__=2))
    assert "Cancel has __version__ 2 and no upcaster from version 1" in problem(shop)
    upcaster(shop, "OldCancel", 1, 2, "Cancel")
    shop.registry.compile()


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (
            [("One", 1, 2)],
            (
                "Placed has __version__ 3 and no upcaster from version 2: nobody could read what was written then; "
                "declare one with @domain.upcaster(event_type=Placed, from_version=2, to_version=3)"
            ),
        ),
        ([("Two", 2, 3)], "Placed has __version__ 3 and no upcaster from version 1"),
        ([("One", 1, 3)], "Placed has __version__ 3 and no upcaster from version 2"),
        (
            [("One", 1, 2), ("Two", 2, 3), ("Other", 1, 3)],
            "Placed has two upcasters from version 1, One and Other; keep one",
        ),
        (
            [("One", 1, 2), ("Two", 2, 3), ("Three", 3, 4)],
            "Three leads to version 4 of Placed, whose __version__ is 3; raise that, or correct `to_version`",
        ),
    ],
)
def test_a_chain_that_does_not_hold_is_refused(
    shop: Declarations, steps: list[tuple[str, int, int]], text: str
) -> None:
    for step in steps:
        upcaster(shop, *step)
    assert text in problem(shop)


def test_every_missing_link_is_told_at_once(shop: Declarations) -> None:
    assert problem(shop).count("no upcaster from version") == 2


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ("Plcaed", "`event_type` names Plcaed, which this domain does not declare, did you mean `Placed`?"),
        ("Order", "`event_type` names the aggregate Order"),
        (5, "`event_type` names 5, which this domain does not declare"),
        (plain("Placed"), "`event_type` names the event Placed"),
    ],
)
def test_what_an_upcaster_reads_must_be_an_event_or_command_of_the_domain(
    shop: Declarations, event: Any, text: str
) -> None:
    upcaster(shop, "One", 1, 2, event)
    assert text in problem(shop)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"from_version": 1, "to_version": 2}, "does not say `event_type`"),
        ({"event_type": "Placed", "to_version": 2}, "does not say `from_version`"),
        ({"event_type": "Placed", "from_version": 1}, "does not say `to_version`"),
        ({"event_type": "Placed", "from_version": 0, "to_version": 1}, "from_version of Old is 0; use 1, 2, 3"),
        ({"event_type": "Placed", "from_version": 1, "to_version": "2"}, "to_version of Old is '2'"),
        ({"event_type": "Placed", "from_version": True, "to_version": 2}, "from_version of Old is True"),
        ({"event_type": "Placed", "from_version": 2, "to_version": 1}, "leads from version 2 to version 1"),
        ({"event_type": "Placed", "from_version": 2, "to_version": 2}, "leads from version 2 to version 2"),
        ({"event_type": "Placed", "from_vresion": 1}, "unknown option `from_vresion`, did you mean `from_version`"),
    ],
)
def test_an_upcaster_says_what_it_does(domain: Declarations, options: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        domain.upcaster(**options)(plain("Old", upcast=lambda self, data: data))


async def later(self: object, data: object) -> object:
    return data


def in_parts(self: object, data: object) -> Iterator[object]:
    yield data


@pytest.mark.parametrize(
    ("namespace", "text"),
    [
        ({}, r"Old has no method `upcast\(self, data\)`"),
        ({"upcast": 5}, "Old has no method"),
        ({"upcast": later}, "must be plain code"),
        ({"upcast": in_parts}, "must be plain code"),
    ],
)
def test_an_upcaster_has_a_method_that_can_be_called(domain: Declarations, namespace: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        domain.upcaster(event_type="Placed", from_version=1, to_version=2)(plain("Old", **namespace))


def test_an_upcaster_without_options_is_told_which_it_needs(domain: Declarations) -> None:
    with pytest.raises(ConfigurationError, match="needs to know what it reads"):
        domain.upcaster(plain("Old", upcast=lambda self, data: data))


def test_a_renamed_event_is_found_under_all_its_names(shop: Declarations) -> None:
    for number in (1, 2):
        upcaster(shop, f"Old{number}", number, number + 1)
    shop.event_handler(part_of="Order")(plain("Mails", sent=handle("Shipped")(lambda self, event: "mailed")))
    shipped = shop.registry.elements["Shipped"]
    assert [shop.registry.message_type(name) for name in ("Shipped", "Sent", "Dispatched")] == [shipped] * 3
    (spec,) = shop.registry.handlers
    assert set(spec.methods) == {"Shipped", "Sent", "Dispatched"}
    with pytest.raises(UnknownTypeError, match="'Sentt', did you mean `Sent`"):
        shop.registry.message_type("Sentt")


@pytest.mark.parametrize(
    ("alias", "owner"), [("Placed", "Placed"), ("Sent", "Shipped"), ("Order", "Order"), ("Told", "Told")]
)
def test_a_name_in_the_log_means_one_class(shop: Declarations, alias: str, owner: str) -> None:
    shop.event(part_of="Order", aliases=[alias])(plain("Told"))
    assert f"Told was called {alias}, says `aliases`, and {owner} is that too" in problem(shop)


@pytest.mark.parametrize("aliases", ["Sent", [5], [""], 5, None])
def test_former_names_are_a_list_of_names(domain: Declarations, aliases: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"`aliases` of Told is .*; give a list of its former names"):
        domain.event(part_of="Order", aliases=aliases)(plain("Told"))


def test_enrichers_are_kept_in_order_and_stay_functions(domain: Declarations) -> None:
    @domain.event_enricher
    def first(event: object) -> dict[str, str]:
        return {"a": "1"}

    @domain.event_enricher
    def second(event: object, aggregate: object) -> dict[str, str]:
        return {"b": repr(aggregate)}

    @domain.command_enricher
    def third(command: object) -> dict[str, str]:
        return {}

    assert first(None) == {"a": "1"}
    enrichers = domain.registry.enrichers(MessageKind.EVENT)
    assert [enricher.headers("event", "aggregate") for enricher in enrichers] == [{"a": "1"}, {"b": "'aggregate'"}]
    (only,) = domain.registry.enrichers(MessageKind.COMMAND)
    assert only.name == "the command enricher third"


async def slowly(event: object) -> dict[str, str]:
    return {}


def of_nothing() -> dict[str, str]:
    return {}


async def in_async_parts(event: object) -> AsyncIterator[dict[str, str]]:
    yield {}


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (5, "@domain.event_enricher decorates a function, not 5; write it without brackets"),
        (None, "decorates a function, not None"),
        (plain("Enriches"), "decorates a function, not <class"),
        (slowly, "slowly must be plain code that returns a dict"),
        (in_async_parts, "in_async_parts must be plain code"),
        (of_nothing, "must take an event, or an event and its aggregate"),
        (lambda event, aggregate, more: {}, "must take an event, or an event and its aggregate"),
    ],
)
def test_an_enricher_is_a_function_of_its_message(domain: Declarations, wrong: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        domain.event_enricher(wrong)


def test_a_command_has_no_aggregate_yet(domain: Declarations) -> None:
    with pytest.raises(ConfigurationError, match="must take a command"):
        domain.command_enricher(lambda command, aggregate: {})
