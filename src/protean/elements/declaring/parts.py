"""Declaring what aggregates consist of: entities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, Unpack, dataclass_transform, overload

from protean.elements.compiler import compile_class, declared_fields, with_identity
from protean.elements.declaring.associations import declared_associations, with_references
from protean.elements.declaring.base import Declaring, Decorator
from protean.elements.element import Element, ElementInfo, ElementKind
from protean.elements.entity import EntityElement
from protean.elements.indexes import checked_indexes
from protean.elements.naming import checked_table, snake_case
from protean.elements.options import EntityOptions
from protean.fields.functions import FIELD_FUNCTIONS

T = TypeVar("T")


class PartDeclarations(Declaring):
    @overload
    def entity(self, cls: type[T], /) -> type[T]: ...
    @overload
    def entity(self, /, **options: Unpack[EntityOptions]) -> Decorator: ...
    @dataclass_transform(
        kw_only_default=True,
        field_specifiers=FIELD_FUNCTIONS,  # type: ignore[misc]  # mypy, which wants a literal, follows bases only
    )
    def entity(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """An object with an identity that lives inside an aggregate, in a field made with HasMany or HasOne."""
        return self._declare(ElementKind.ENTITY, cls, options, _entity)


def _entity(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type[Element]:
    associations = declared_associations(cls)
    generated = options.get("auto_add_id_field", True)
    fields, identity = with_identity(cls, declared_fields(cls), generated=generated)
    fields, associations = with_references(cls, fields, associations, options.get("part_of"))
    checked_indexes(options.get("indexes", ()), cls.__name__, fields)
    info = ElementInfo(
        name=cls.__name__,
        kind=kind,
        module=cls.__module__,
        fields=fields,
        identity=identity,
        associations=associations,
        schema_name=checked_table(options.get("schema_name", snake_case(cls.__name__)), cls.__name__),
        part_of=options.get("part_of"),
        options=options,
    )
    return compile_class(cls, EntityElement, info)
