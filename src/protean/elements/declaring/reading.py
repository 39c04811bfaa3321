"""Declaring how projections are asked: queries and who answers them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, Unpack, dataclass_transform, overload

from protean.elements.compiler import compile_class, declared_fields
from protean.elements.declaring.base import Declaring, Decorator, plain
from protean.elements.element import Element, ElementInfo, ElementKind
from protean.elements.options import PartOfProjection
from protean.elements.query import QueryElement
from protean.fields.functions import FIELD_FUNCTIONS

T = TypeVar("T")


class ReadingDeclarations(Declaring):
    @overload
    def query(self, cls: type[T], /) -> type[T]: ...
    @overload
    def query(self, /, **options: Unpack[PartOfProjection]) -> Decorator: ...
    @dataclass_transform(
        kw_only_default=True,
        frozen_default=True,
        field_specifiers=FIELD_FUNCTIONS,  # type: ignore[misc]  # mypy, which wants a literal, follows bases only
    )
    def query(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A question to a projection."""
        return self._declare(ElementKind.QUERY, cls, options, _query)

    @overload
    def query_handler(self, cls: type[T], /) -> type[T]: ...
    @overload
    def query_handler(self, /, **options: Unpack[PartOfProjection]) -> Decorator: ...
    def query_handler(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A class whose `@read` methods answer the queries of a projection."""
        return self._declare(ElementKind.QUERY_HANDLER, cls, options, plain)


def _query(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type[Element]:
    info = ElementInfo(
        name=cls.__name__,
        kind=kind,
        module=cls.__module__,
        fields=declared_fields(cls),
        part_of=options.get("part_of"),
        options=options,
    )
    return compile_class(cls, QueryElement, info)
