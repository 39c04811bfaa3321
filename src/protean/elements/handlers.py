"""Handlers: plain classes whose marked methods take commands or events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from protean.elements.aggregate import AggregateElement
from protean.elements.element import ElementKind
from protean.elements.projection import ProjectionElement
from protean.exceptions import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])

#: A handler's function, called with an instance of the handler and the message.
Method = Callable[[Any, Any], Any]

_MARK: Final = "__protean_handles__"


def handle(message: type | str) -> Callable[[F], F]:
    """Mark a method as taking this command or event, given as class or by name. May be repeated."""
    if not isinstance(message, type | str):
        raise ConfigurationError(f"@handle takes a command, an event or the name of one, not {message!r:.80}")

    def mark(function: F) -> F:
        setattr(function, _MARK, (message, *getattr(function, _MARK, ())))
        return function

    return mark


on = handle
"""The same, as it reads in a projector: `@on(CustomerRegistered)`."""


class CommandRoute(NamedTuple):
    """Where a command goes: `method(handler(), command)`."""

    aggregate: type[AggregateElement]
    handler: type
    method: Method


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerSpec:
    """An event handler or projector, ready to run.

    `name` is its consumer group. `categories` are the streams it listens to, and `methods` what it does
    with which type of message: `methods[type](cls(), message)`. `sequenced`: each aggregate's events are
    applied in order and once, by position; otherwise each once, in any order.
    """

    name: str
    kind: ElementKind
    cls: type
    sequenced: bool
    categories: tuple[str, ...]
    methods: Mapping[str, Method]
    projection: type[ProjectionElement] | None = None
    subscription_type: str | None = None
    subscription_config: Mapping[str, Any] = field(default_factory=dict)


def marked_methods(cls: type) -> list[tuple[str, type | str, Method]]:
    """(method name, command or event, function) for every marked method, also inherited ones."""
    functions: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        functions.update(vars(base))
    return [
        (name, message, function) for name, function in functions.items() for message in getattr(function, _MARK, ())
    ]
