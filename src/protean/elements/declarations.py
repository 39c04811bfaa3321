"""The decorators of a domain. Each may be used bare or with options, and returns the class that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar, Unpack, dataclass_transform, overload

from protean.elements.aggregate import AggregateElement
from protean.elements.command import CommandElement
from protean.elements.compiler import compile_class, declared_fields, with_identity
from protean.elements.element import Element, ElementInfo, ElementKind
from protean.elements.event import EventElement
from protean.elements.naming import checked_category, checked_table, snake_case
from protean.elements.options import (
    OPTIONS,
    AggregateOptions,
    EventHandlerOptions,
    PartOf,
    ProjectionOptions,
    ProjectorOptions,
)
from protean.elements.projection import ProjectionElement
from protean.elements.registry import Registry
from protean.exceptions import ConfigurationError
from protean.fields import (
    Auto,
    Boolean,
    Date,
    DateTime,
    Decimal,
    Dict,
    Float,
    Identifier,
    Integer,
    List,
    String,
    Text,
)
from protean.suggestion import did_you_mean

T = TypeVar("T")
U = TypeVar("U")


class Decorator(Protocol):
    """Takes a class and returns the one that stands in its place; to type checkers, the same."""

    def __call__(self, cls: type[T], /) -> type[T]: ...


class Declarations:
    """What a `Domain` offers for declaring elements; they collect in its `registry`."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    @overload
    def aggregate(self, cls: type[T], /) -> type[T]: ...
    @overload
    def aggregate(self, /, **options: Unpack[AggregateOptions]) -> Decorator: ...
    @dataclass_transform(
        kw_only_default=True,
        field_specifiers=(
            Auto,
            Boolean,
            Date,
            DateTime,
            Decimal,
            Dict,
            Float,
            Identifier,
            Integer,
            List,
            String,
            Text,
        ),
    )
    def aggregate(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """An object with an identity that changes by commands and raises events."""
        return self._declare(ElementKind.AGGREGATE, cls, options)

    @overload
    def command(self, cls: type[T], /) -> type[T]: ...
    @overload
    def command(self, /, **options: Unpack[PartOf]) -> Decorator: ...
    @dataclass_transform(
        kw_only_default=True,
        frozen_default=True,
        field_specifiers=(
            Auto,
            Boolean,
            Date,
            DateTime,
            Decimal,
            Dict,
            Float,
            Identifier,
            Integer,
            List,
            String,
            Text,
        ),
    )
    def command(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A wish addressed to an aggregate."""
        return self._declare(ElementKind.COMMAND, cls, options)

    @overload
    def event(self, cls: type[T], /) -> type[T]: ...
    @overload
    def event(self, /, **options: Unpack[PartOf]) -> Decorator: ...
    @dataclass_transform(
        kw_only_default=True,
        frozen_default=True,
        field_specifiers=(
            Auto,
            Boolean,
            Date,
            DateTime,
            Decimal,
            Dict,
            Float,
            Identifier,
            Integer,
            List,
            String,
            Text,
        ),
    )
    def event(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A fact about an aggregate."""
        return self._declare(ElementKind.EVENT, cls, options)

    @overload
    def projection(self, cls: type[T], /) -> type[T]: ...
    @overload
    def projection(self, /, **options: Unpack[ProjectionOptions]) -> Decorator: ...
    @dataclass_transform(
        kw_only_default=True,
        field_specifiers=(
            Auto,
            Boolean,
            Date,
            DateTime,
            Decimal,
            Dict,
            Float,
            Identifier,
            Integer,
            List,
            String,
            Text,
        ),
    )
    def projection(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A row made for reading."""
        return self._declare(ElementKind.PROJECTION, cls, options)

    @overload
    def command_handler(self, cls: type[T], /) -> type[T]: ...
    @overload
    def command_handler(self, /, **options: Unpack[PartOf]) -> Decorator: ...
    def command_handler(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A class whose `@handle` methods carry out the commands of an aggregate."""
        return self._declare(ElementKind.COMMAND_HANDLER, cls, options)

    @overload
    def event_handler(self, cls: type[T], /) -> type[T]: ...
    @overload
    def event_handler(self, /, **options: Unpack[EventHandlerOptions]) -> Decorator: ...
    def event_handler(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A class whose `@handle` methods react to events."""
        return self._declare(ElementKind.EVENT_HANDLER, cls, options)

    @overload
    def projector(self, cls: type[T], /) -> type[T]: ...
    @overload
    def projector(self, /, **options: Unpack[ProjectorOptions]) -> Decorator: ...
    def projector(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A class whose `@on` methods keep a projection up to date."""
        return self._declare(ElementKind.PROJECTOR, cls, options)

    @overload
    def repository(self, cls: type[T], /) -> type[T]: ...
    @overload
    def repository(self, /, **options: Unpack[PartOf]) -> Decorator: ...
    def repository(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A repository with queries of its own, for one aggregate or projection."""
        return self._declare(ElementKind.REPOSITORY, cls, options)

    def _declare(self, kind: ElementKind, cls: type[T] | None, options: Mapping[str, Any]) -> type[T] | Decorator:
        decorator = f"@domain.{kind.name.lower()}"
        for name in options:
            if name not in OPTIONS[kind]:
                suggestion = did_you_mean(name, OPTIONS[kind])
                raise ConfigurationError(f"{decorator}: unknown option `{name}`{suggestion}")

        def declare(cls: type[U], /) -> type[U]:
            if not isinstance(cls, type):
                raise ConfigurationError(f"{decorator} decorates a class, not {cls!r:.80}")
            declared: type[U] = _DECLARE[kind](cls, kind, options)
            self.registry.declare(declared)
            return declared

        if cls is None:
            return declare
        return declare(cls)


def _aggregate(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type[Element]:
    generated = options.get("auto_add_id_field", True)
    fields, identity = with_identity(cls, declared_fields(cls), generated=generated)
    name = snake_case(cls.__name__)
    info = ElementInfo(
        name=cls.__name__,
        kind=kind,
        module=cls.__module__,
        fields=fields,
        identity=identity,
        stream_category=checked_category(options.get("stream_category", name), cls.__name__),
        schema_name=checked_table(options.get("schema_name", name), cls.__name__),
        provider=options.get("provider", "default"),
        options=options,
    )
    return compile_class(cls, AggregateElement, info)


def _projection(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type[Element]:
    fields, identity = with_identity(cls, declared_fields(cls), generated=False)
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


def _payload(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type[Element]:
    version = getattr(cls, "__version__", 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ConfigurationError(f"__version__ of {cls.__name__} is {version!r:.50}; use 1, 2, 3 …")
    info = ElementInfo(
        name=cls.__name__,
        kind=kind,
        module=cls.__module__,
        fields=declared_fields(cls),
        part_of=options.get("part_of"),
        version=version,
        options=options,
    )
    return compile_class(cls, EventElement if kind is ElementKind.EVENT else CommandElement, info)


def _plain(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type:
    """Handlers and repositories are the user's own classes, described and otherwise left as they are."""
    info = ElementInfo(
        name=cls.__name__,
        kind=kind,
        module=cls.__module__,
        part_of=options.get("part_of"),
        options=options,
    )
    cls.__protean__ = info  # type: ignore[attr-defined]  # the user's class gets it here
    return cls


_DECLARE: Final[Mapping[ElementKind, Callable[[type, ElementKind, Mapping[str, Any]], Any]]] = {
    ElementKind.AGGREGATE: _aggregate,
    ElementKind.COMMAND: _payload,
    ElementKind.EVENT: _payload,
    ElementKind.PROJECTION: _projection,
    ElementKind.COMMAND_HANDLER: _plain,
    ElementKind.EVENT_HANDLER: _plain,
    ElementKind.PROJECTOR: _plain,
    ElementKind.REPOSITORY: _plain,
}
