"""Declaring what is said: commands and events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, Unpack, dataclass_transform, overload

from protean.elements.command import CommandElement
from protean.elements.compiler import compile_class, declared_fields
from protean.elements.declaring.base import Declaring, Decorator
from protean.elements.element import Element, ElementInfo, ElementKind
from protean.elements.event import EventElement
from protean.elements.options import EventOptions, PayloadOptions
from protean.exceptions import ConfigurationError
from protean.fields.functions import FIELD_FUNCTIONS

T = TypeVar("T")


class PayloadDeclarations(Declaring):
    @overload
    def command(self, cls: type[T], /) -> type[T]: ...
    @overload
    def command(self, /, **options: Unpack[PayloadOptions]) -> Decorator: ...
    @dataclass_transform(
        kw_only_default=True,
        frozen_default=True,
        field_specifiers=FIELD_FUNCTIONS,  # type: ignore[misc]  # mypy, which wants a literal, follows bases only
    )
    def command(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A wish addressed to an aggregate."""
        return self._declare(ElementKind.COMMAND, cls, options, _payload)

    @overload
    def event(self, cls: type[T], /) -> type[T]: ...
    @overload
    def event(self, /, **options: Unpack[EventOptions]) -> Decorator: ...
    @dataclass_transform(
        kw_only_default=True,
        frozen_default=True,
        field_specifiers=FIELD_FUNCTIONS,  # type: ignore[misc]  # mypy, which wants a literal, follows bases only
    )
    def event(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A fact about an aggregate."""
        return self._declare(ElementKind.EVENT, cls, options, _payload)


def _payload(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type[Element]:
    version = getattr(cls, "__version__", 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ConfigurationError(f"__version__ of {cls.__name__} is {version!r:.50}; use 1, 2, 3 …")
    _check_aliases(cls, options.get("aliases", ()))
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


def _check_aliases(cls: type, aliases: object) -> None:
    """A text by itself would be taken for its letters."""
    if isinstance(aliases, list | tuple) and all(isinstance(alias, str) and alias for alias in aliases):
        return
    raise ConfigurationError(
        f'`aliases` of {cls.__name__} is {aliases!r:.80}; give a list of its former names, as in aliases=["OldName"]'
    )
