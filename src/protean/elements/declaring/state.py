"""Declaring what is stored: aggregates and projections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, Unpack, dataclass_transform, overload

from protean.elements.aggregate import AggregateElement
from protean.elements.compiler import compile_class, declared_fields, with_identity
from protean.elements.declaring.associations import declared_associations, with_references
from protean.elements.declaring.base import Declaring, Decorator
from protean.elements.declaring.sourced import check_not_sourced, sourced
from protean.elements.element import Element, ElementInfo, ElementKind
from protean.elements.facts import fact_event_of
from protean.elements.indexes import checked_indexes
from protean.elements.naming import checked_category, checked_table, snake_case
from protean.elements.options import AggregateOptions, ProjectionOptions
from protean.elements.projection import ProjectionElement
from protean.exceptions import ConfigurationError
from protean.fields.functions import FIELD_FUNCTIONS

T = TypeVar("T")


class StateDeclarations(Declaring):
    @overload
    def aggregate(self, cls: type[T], /) -> type[T]: ...
    @overload
    def aggregate(self, /, **options: Unpack[AggregateOptions]) -> Decorator: ...
    @dataclass_transform(
        kw_only_default=True,
        field_specifiers=FIELD_FUNCTIONS,  # type: ignore[misc]  # mypy, which wants a literal, follows bases only
    )
    def aggregate(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """An object with an identity that changes by commands and raises events."""
        return self._declare(ElementKind.AGGREGATE, cls, options, self._aggregate)

    @overload
    def projection(self, cls: type[T], /) -> type[T]: ...
    @overload
    def projection(self, /, **options: Unpack[ProjectionOptions]) -> Decorator: ...
    @dataclass_transform(
        kw_only_default=True,
        field_specifiers=FIELD_FUNCTIONS,  # type: ignore[misc]  # mypy, which wants a literal, follows bases only
    )
    def projection(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A row made for reading."""
        return self._declare(ElementKind.PROJECTION, cls, options, _projection)

    def _aggregate(self, cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type[Element]:
        aggregate = _aggregate(cls, kind, options)
        if options.get("fact_events"):
            self.registry.declare(fact_event_of(aggregate))
        elif options.get("published_facts"):
            raise ConfigurationError(
                f"published_facts of {cls.__name__} is set, and it tells no facts that could be published; declare it "
                "with fact_events=True as well, or publish its events: @domain.event(published=True)"
            )
        return aggregate


def _aggregate(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type[AggregateElement]:
    associations = declared_associations(cls)
    generated = options.get("auto_add_id_field", True)
    fields, identity = with_identity(cls, declared_fields(cls), generated=generated)
    fields, associations = with_references(cls, fields, associations)
    checked_indexes(options.get("indexes", ()), cls.__name__, fields)
    name = snake_case(cls.__name__)
    info = ElementInfo(
        name=cls.__name__,
        kind=kind,
        module=cls.__module__,
        fields=fields,
        associations=associations,
        identity=identity,
        stream_category=checked_category(options.get("stream_category", name), cls.__name__),
        schema_name=checked_table(options.get("schema_name", name), cls.__name__),
        provider=options.get("provider", "default"),
        options=options,
    )
    if options.get("event_sourced"):
        return sourced(cls, info)
    check_not_sourced(cls)
    return compile_class(cls, AggregateElement, info)


def _projection(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type[Element]:
    fields, identity = with_identity(cls, declared_fields(cls), generated=False)
    checked_indexes(options.get("indexes", ()), cls.__name__, fields)
    info = ElementInfo(
        name=cls.__name__,
        kind=kind,
        module=cls.__module__,
        fields=fields,
        identity=identity,
        schema_name=checked_table(options.get("schema_name", snake_case(cls.__name__)), cls.__name__),
        provider=options.get("provider", "default"),
        options=options,
    )
    return compile_class(cls, ProjectionElement, info)
