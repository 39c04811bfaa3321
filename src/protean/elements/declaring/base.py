"""What all decorators share: options checked, the class made and registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from protean.elements.abstract import abstract_class
from protean.elements.compiler import declared_fields
from protean.elements.declaring.associations import declared_associations
from protean.elements.element import ElementInfo, ElementKind
from protean.elements.options import OPTIONS
from protean.elements.registry import Registry
from protean.exceptions import ConfigurationError
from protean.suggestion import did_you_mean

T = TypeVar("T")
U = TypeVar("U")

#: Makes of a class as written the one that stands in its place.
Make = Callable[[type, ElementKind, Mapping[str, Any]], Any]


class Decorator(Protocol):
    """Takes a class and returns the one that stands in its place; to type checkers, the same."""

    def __call__(self, cls: type[T], /) -> type[T]: ...


class Declaring:
    """Collects what is declared in its `registry`."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def _declare(
        self, kind: ElementKind, cls: type[T] | None, options: Mapping[str, Any], make: Make
    ) -> type[T] | Decorator:
        """Declare `cls`, or, used with options, return the decorator that will."""
        decorator = f"@domain.{kind.name.lower()}"
        for name in options:
            if name not in OPTIONS[kind]:
                suggestion = did_you_mean(name, OPTIONS[kind])
                raise ConfigurationError(f"{decorator}: unknown option `{name}`{suggestion}")

        def declare(cls: type[U], /) -> type[U]:
            if not isinstance(cls, type):
                raise ConfigurationError(f"{decorator} decorates a class, not {cls!r:.80}")
            if options.get("abstract"):
                if kind in (ElementKind.AGGREGATE, ElementKind.ENTITY):
                    declared_associations(cls)
                declared_fields(cls)
                return abstract_class(cls, kind, options)
            declared: type[U] = make(cls, kind, options)
            self.registry.declare(declared)
            return declared

        if cls is None:
            return declare
        return declare(cls)


def plain(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type:
    """Handlers, repositories and services are the user's own classes, described and otherwise left as they are."""
    info = ElementInfo(
        name=cls.__name__,
        kind=kind,
        module=cls.__module__,
        part_of=options.get("part_of"),
        options=options,
    )
    cls.__protean__ = info  # type: ignore[attr-defined]  # the user's class gets it here
    return cls
