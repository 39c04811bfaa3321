"""Declaring who acts: handlers, projectors, repositories."""

from __future__ import annotations

from typing import Any, TypeVar, Unpack, overload

from protean.elements.declaring.base import Declaring, Decorator, plain
from protean.elements.element import ElementKind
from protean.elements.options import EventHandlerOptions, PartOf, ProjectorOptions

T = TypeVar("T")


class HandlerDeclarations(Declaring):
    @overload
    def command_handler(self, cls: type[T], /) -> type[T]: ...
    @overload
    def command_handler(self, /, **options: Unpack[PartOf]) -> Decorator: ...
    def command_handler(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A class whose `@handle` methods carry out the commands of an aggregate."""
        return self._declare(ElementKind.COMMAND_HANDLER, cls, options, plain)

    @overload
    def event_handler(self, cls: type[T], /) -> type[T]: ...
    @overload
    def event_handler(self, /, **options: Unpack[EventHandlerOptions]) -> Decorator: ...
    def event_handler(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A class whose `@handle` methods react to events."""
        return self._declare(ElementKind.EVENT_HANDLER, cls, options, plain)

    @overload
    def projector(self, cls: type[T], /) -> type[T]: ...
    @overload
    def projector(self, /, **options: Unpack[ProjectorOptions]) -> Decorator: ...
    def projector(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A class whose `@on` methods keep a projection up to date."""
        return self._declare(ElementKind.PROJECTOR, cls, options, plain)

    @overload
    def repository(self, cls: type[T], /) -> type[T]: ...
    @overload
    def repository(self, /, **options: Unpack[PartOf]) -> Decorator: ...
    def repository(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A repository with queries of its own, for one aggregate or projection."""
        return self._declare(ElementKind.REPOSITORY, cls, options, plain)
