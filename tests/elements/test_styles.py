"""The ways to declare a field, mixed, with annotations that are texts."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Any, ClassVar

import pytest

from protean.elements.declarations import Declarations
from protean.elements.element import info_of
from protean.exceptions import ConfigurationError, ValidationError
from protean.fields import FieldKind, Identifier, Integer, String


class Dated:
    """Fields shared by inheritance."""

    created: date | None = None
    source = String(default="web")

    def where(self) -> str:
        return str(self.source)


def test_a_class_is_ready_when_it_is_declared_and_not_when_the_first_command_needs_it(domain: Declarations) -> None:
    @domain.aggregate
    class Customer:
        name: str

    assert Customer.__pydantic_complete__ is True  # type: ignore[attr-defined]  # pydantic's own


def test_all_styles_work_in_one_class(domain: Declarations) -> None:
    class Tier(Enum):  # local: found in the function around the class
        GOLD = "gold"

    @domain.aggregate
    class Customer(Dated):
        """A customer."""

        LIMIT: ClassVar[int] = 3
        called: String(max_length=50)  # type: ignore[valid-type]  # a call is no type
        valued = String(max_length=50, required=True)
        both: str = String(max_length=50)
        plain: str
        optional: int | None = None
        date: date | None = None
        tags: list[str] = []
        preset: Integer() = 5  # type: ignore[valid-type]  # a call is no type
        tier: Tier = Tier.GOLD

        def greet(self) -> str:
            return f"{self.plain} {self.where()}"

    fields = info_of(Customer).fields
    assert list(fields)[:3] == ["id", "created", "source"]
    assert {fields[name].max_length for name in ("called", "valued", "both")} == {50}
    assert fields["date"].kind is FieldKind.DATE
    assert (Customer.__name__, Customer.__doc__, Customer.LIMIT) == ("Customer", "A customer.", 3)
    cls: Any = Customer
    customer = cls(valued="v", plain="p")
    assert (customer.called, customer.optional, customer.preset, customer.tier) == (None, None, 5, Tier.GOLD)
    assert customer.greet() == "p web"
    with pytest.raises(ValidationError) as caught:
        cls()
    assert caught.value.messages == {"valued": ["is required"], "plain": ["is required"]}


def test_two_classes_may_share_a_mixin(domain: Declarations) -> None:
    first: type = domain.aggregate(type("First", (Dated,), {"__module__": __name__}))
    second: type = domain.aggregate(type("Second", (Dated,), {"__module__": __name__}))
    assert list(info_of(first).fields) == list(info_of(second).fields) == ["id", "created", "source"]


def test_methods_may_call_super(domain: Declarations) -> None:
    class Named:
        def title(self) -> str:
            return "Dr"

    @domain.aggregate
    class Doctor(Named):
        name: str

        def title(self) -> str:
            return f"{super().title()} {self.name}"

    doctor: Any = Doctor
    assert doctor(name="No").title() == "Dr No"


@pytest.mark.parametrize("name", ["raise_", "model_dump", "model_fields", "_hidden"])
def test_names_that_cannot_work_are_refused(domain: Declarations, name: str) -> None:
    cls = type("Customer", (), {"__annotations__": {name: str}, "__module__": __name__})
    with pytest.raises(ConfigurationError, match=rf"`{name}` of Customer: "):
        domain.aggregate(cls)


@pytest.mark.parametrize("name", ["json", "copy", "schema", "validate", "model_year", "identity", "version", "events"])
def test_ordinary_names_are_the_users(domain: Declarations, name: str) -> None:
    cls: Any = domain.aggregate(type("Car", (), {"__annotations__": {name: str}, "__module__": __name__}))
    assert getattr(cls(**{name: "x"}), name) == "x"


def test_a_name_that_is_not_defined_is_named(domain: Declarations) -> None:
    cls = type("Customer", (), {"__annotations__": {"tier": "Teir"}, "__module__": __name__})
    with pytest.raises(ConfigurationError, match="`tier: Teir` of Customer: name 'Teir' is not defined"):
        domain.aggregate(cls)


def test_a_compiled_class_has_no_subclasses(domain: Declarations) -> None:
    @domain.aggregate
    class Customer:
        name: str

    with pytest.raises(ConfigurationError, match="put the fields they share into a plain, undecorated class"):

        class Special(Customer):
            extra = String()
            key: Identifier()  # type: ignore[valid-type]  # a call is no type
