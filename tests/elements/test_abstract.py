"""Abstract classes: inherited from, and nothing by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from protean import invariant
from protean.elements.declarations import Declarations
from protean.elements.element import info_of
from protean.elements.registry import Registry
from protean.exceptions import ConfigurationError, InvalidOperationError, ValidationError
from protean.fields import HasMany, Identifier, Integer, String


def test_fields_methods_and_invariants_are_inherited(domain: Declarations) -> None:
    @domain.aggregate(abstract=True)
    class Counted:
        count: Integer(default=0)  # type: ignore[valid-type]  # a call is no type

        def more(self) -> None:
            self.count += 1

        @invariant.post
        def stays_small(self) -> None:
            if self.count > 1:
                raise ValueError("is too many")

    @domain.aggregate(abstract=True)
    class Named(Counted):
        name: str

    @domain.aggregate
    class Customer(Named):
        email = String()

    @domain.aggregate
    class Supplier(Named):
        pass

    domain.registry.compile()
    assert [cls.__name__ for cls in domain.registry.aggregates] == ["Customer", "Supplier"]
    assert list(info_of(Customer).fields) == ["id", "count", "name", "email"]
    assert info_of(Supplier).schema_name == "supplier"
    cls: Any = Customer
    customer = cls(name="Ada")
    customer.more()
    with pytest.raises(ValidationError, match="is too many"):
        customer.more()
    for abstract in (Counted, Named):
        made: Any = abstract
        with pytest.raises(InvalidOperationError, match=f"{made.__name__} is an abstract aggregate and cannot be made"):
            made(name="Ada")


@pytest.mark.parametrize("kind", ["aggregate", "entity", "value_object", "event", "command", "projection"])
def test_every_kind_can_be_abstract(kind: str) -> None:
    domain = Declarations(Registry())
    decorate: Any = getattr(domain, kind)
    base = decorate(abstract=True)(type("Base", (), {"key": Identifier(), "__module__": __name__}))
    assert domain.registry.elements == {}
    options = {"part_of": "Owner"} if kind in ("entity", "event", "command") else {}
    body = {"__module__": __name__, **({"id": Identifier(identifier=True)} if kind == "projection" else {})}
    cls: Any = decorate(**options)(type("Concrete", (base,), body))
    assert "key" in info_of(cls).fields
    with pytest.raises(InvalidOperationError, match="cannot be made"):
        base(key="1")


def test_an_abstract_aggregate_may_have_entities(domain: Declarations) -> None:
    @domain.entity(part_of="Order")
    class Line:
        number = Integer()

    base: Any = domain.aggregate(abstract=True)(type("Base", (), {"lines": HasMany(Line), "__module__": __name__}))
    order: Any = domain.aggregate(type("Order", (base,), {"__module__": __name__}))
    domain.registry.compile()
    any_line: Any = Line
    assert len(order(lines=[any_line()]).lines) == 1


def test_nothing_is_part_of_an_abstract_class(domain: Declarations) -> None:
    base: Any = domain.aggregate(abstract=True)(type("Base", (), {"name": String(), "__module__": __name__}))
    domain.event(part_of=base)(type("Told", (), {"name": String(), "__module__": __name__}))
    with pytest.raises(ConfigurationError, match="names Base, which is abstract; name a class that inherits from it"):
        domain.registry.compile()


def test_what_cannot_be_said_of_an_abstract_class_is_refused(domain: Declarations) -> None:
    with pytest.raises(
        ConfigurationError, match="Base is abstract and takes no `schema_name`; say that of the classes"
    ):
        domain.aggregate(abstract=True, schema_name="x")(type("Base", (), {"__module__": __name__}))
    base: Any = domain.aggregate(abstract=True)(type("Base", (), {"name": String(), "__module__": __name__}))
    with pytest.raises(ConfigurationError, match="declared as event and inherits from the abstract aggregate Base"):
        domain.event(part_of="X")(type("Told", (base,), {"__module__": __name__}))
