"""Declaring what acts beside handlers: process managers, subscribers to streams of others, services."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar, Unpack, dataclass_transform, overload

from protean.elements.compiler import compile_class, declared_fields
from protean.elements.declaring.base import Declaring, Decorator, plain
from protean.elements.element import Element, ElementInfo, ElementKind
from protean.elements.event import EventElement
from protean.elements.handlers import correlation_fields
from protean.elements.naming import checked_category, checked_table, snake_case
from protean.elements.options import ProcessManagerOptions, ServiceOptions, SubscriberOptions
from protean.elements.process_manager import COMPLETED_AT, ProcessManagerElement
from protean.elements.services import use_cases_of
from protean.exceptions import ConfigurationError
from protean.fields.functions import FIELD_FUNCTIONS
from protean.fields.spec import MISSING, FieldKind, FieldSpec

T = TypeVar("T")

#: The key of a process that does not declare the field it is found by.
_KEY = FieldSpec(kind=FieldKind.IDENTIFIER, required=True, identifier=True, min_length=1, max_length=255)


class ReactionDeclarations(Declaring):
    @overload
    def process_manager(self, cls: type[T], /) -> type[T]: ...
    @overload
    def process_manager(self, /, **options: Unpack[ProcessManagerOptions]) -> Decorator: ...
    @dataclass_transform(
        kw_only_default=True,
        field_specifiers=FIELD_FUNCTIONS,  # type: ignore[misc]  # mypy, which wants a literal, follows bases only
    )
    def process_manager(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """State that follows a process over several aggregates: its `@handle` methods react to their events."""
        return self._declare(ElementKind.PROCESS_MANAGER, cls, options, _process_manager)

    @overload
    def subscriber(self, cls: type[T], /) -> type[T]: ...
    @overload
    def subscriber(self, /, **options: Unpack[SubscriberOptions]) -> Decorator: ...
    def subscriber(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A class whose instances are called with what somebody else writes to a stream, as a dict."""
        return self._declare(ElementKind.SUBSCRIBER, cls, options, _subscriber)

    @overload
    def domain_service(self, cls: type[T], /) -> type[T]: ...
    @overload
    def domain_service(self, /, **options: Unpack[ServiceOptions]) -> Decorator: ...
    def domain_service(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A class for what concerns several aggregates and belongs to none of them."""
        return self._declare(ElementKind.DOMAIN_SERVICE, cls, options, plain)

    @overload
    def application_service(self, cls: type[T], /) -> type[T]: ...
    @overload
    def application_service(self, /, **options: Unpack[ServiceOptions]) -> Decorator: ...
    def application_service(self, cls: type[T] | None = None, /, **options: Any) -> type[T] | Decorator:
        """A class whose `@use_case` methods are what an application offers, a transaction each."""
        return self._declare(ElementKind.APPLICATION_SERVICE, cls, options, _application_service)


def _application_service(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type:
    if not use_cases_of(cls):
        raise ConfigurationError(f"{cls.__name__} offers nothing; mark its methods with @use_case")
    return plain(cls, kind, options)


def _subscriber(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type:
    stream = options.get("stream")
    if not isinstance(stream, str) or not 0 < len(stream) <= 255 or not stream.isprintable():
        raise ConfigurationError(
            f"{cls.__name__} reads {'no stream' if stream is None else f'{stream!r:.80}'}; name one: "
            '@domain.subscriber(stream="payments")'
        )
    if "__call__" not in dir(cls) or not inspect.isfunction(cls.__call__):
        raise ConfigurationError(
            f"{cls.__name__} cannot be called; give it `def __call__(self, payload: dict) -> None`, which is handed "
            f"each entry of {stream}"
        )
    return plain(cls, kind, options)


def _process_manager(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type[Element]:
    fields, key = _with_key(cls, declared_fields(cls))
    name = snake_case(cls.__name__)
    info = ElementInfo(
        name=cls.__name__,
        kind=kind,
        module=cls.__module__,
        fields={**fields, COMPLETED_AT: FieldSpec(kind=FieldKind.DATETIME)},
        identity=key,
        stream_category=checked_category(options.get("stream_category", name), cls.__name__),
        schema_name=checked_table(options.get("schema_name", name), cls.__name__),
        provider=options.get("provider", "default"),
        options={**options, "told_by": _timed_out(cls)},
    )
    return compile_class(cls, ProcessManagerElement, info)


def _with_key(cls: type, fields: dict[str, FieldSpec]) -> tuple[dict[str, FieldSpec], str]:
    """The fields with the one that instances are found by, which `correlate` names, as their identity."""
    named = correlation_fields(cls)
    if len(named) != 1:
        told = f"by {', '.join(named)}: choose one of them" if named else "by nothing: give its @handle `correlate`"
        raise ConfigurationError(
            f"{cls.__name__} has to find the process that an event belongs to {told}, as in "
            '@handle(OrderPlaced, start=True, correlate="order_id"), or correlate={"order_id": "id"} where the event '
            "calls it `id`"
        )
    key = named[0]
    others = [name for name, spec in fields.items() if spec.identifier and name != key]
    if others:
        raise ConfigurationError(
            f"`{others[0]}` of {cls.__name__} is marked as identifier, and its events are told apart by `{key}`; mark "
            "that, or nothing"
        )
    if COMPLETED_AT in fields:
        raise ConfigurationError(
            f"`{COMPLETED_AT}` of {cls.__name__}: this field is the framework's own, it says when the process has ended"
        )
    unfilled = [name for name, spec in fields.items() if name != key and spec.required and spec.default is MISSING]
    if unfilled:
        raise ConfigurationError(
            f"`{unfilled[0]}` of {cls.__name__} is required, and a process begins with nothing but its `{key}`; give "
            "it a default, or let it be None until it is known"
        )
    try:
        identity = replace(fields[key], identifier=True, required=True) if key in fields else _KEY
    except ConfigurationError as error:
        raise ConfigurationError(f"`{key}` of {cls.__name__}: {error}") from None
    return {key: identity, **{name: spec for name, spec in fields.items() if name != key}}, key


def _timed_out(cls: type) -> type[Element]:
    """The message that tells a process of its timeouts: in its own stream, in no user's code."""
    name = f"{cls.__name__}TimedOut"
    text = FieldSpec(kind=FieldKind.STRING, required=True, max_length=255)
    info = ElementInfo(
        name=name,
        kind=ElementKind.EVENT,
        module=cls.__module__,
        fields={"key": text, "name": text, "due_at": FieldSpec(kind=FieldKind.DATETIME, required=True)},
    )
    return compile_class(type(name, (), {"__module__": cls.__module__}), EventElement, info)
