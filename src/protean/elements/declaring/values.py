"""Declaring what things are made of: value objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, Unpack, dataclass_transform, overload

from protean.elements.compiler import compile_class, declared_fields
from protean.elements.declaring.base import Declaring, Decorator
from protean.elements.element import Element, ElementInfo, ElementKind
from protean.elements.options import ValueObjectOptions
from protean.elements.value_object import ValueObjectElement
from protean.exceptions import ConfigurationError
from protean.fields.functions import FIELD_FUNCTIONS

T = TypeVar("T")


class ValueDeclarations(Declaring):
    @overload
    def value_object(self, cls: type[T], /) -> type[T]: ...
    @overload
    def value_object(self, /, **options: Unpack[ValueObjectOptions]) -> Decorator: ...
    @dataclass_transform(
        kw_only_default=True,
        frozen_default=True,
        field_specifiers=FIELD_FUNCTIONS,  # type: ignore[misc]  # mypy, which wants a literal, follows bases only
    )
    def value_object(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """Something without an identity: it never changes, and is equal to another when its contents are."""
        return self._declare(ElementKind.VALUE_OBJECT, cls, options, _value_object)


def _value_object(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type[Element]:
    fields = declared_fields(cls)
    if not fields:
        raise ConfigurationError(f"the value object {cls.__name__} has no fields")
    for name, spec in fields.items():
        if spec.identifier:
            raise ConfigurationError(
                f"`{name}` of {cls.__name__} identifies, and a value object has no identity: it is what its contents "
                "are; take `identifier` away, or declare an entity"
            )
        if name == "replace":
            raise ConfigurationError(f"`replace` of {cls.__name__}: this name is the framework's own; take another")
    info = ElementInfo(name=cls.__name__, kind=kind, module=cls.__module__, fields=fields, options=options)
    compiled = compile_class(cls, ValueObjectElement, info)
    compiled.__embedded__ = compiled.__protean__.fields
    return compiled
