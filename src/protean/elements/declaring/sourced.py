"""Declaring event-sourced aggregates."""

from __future__ import annotations

from protean.elements.applying import applied_by
from protean.elements.compiler import compile_class
from protean.elements.element import ElementInfo
from protean.elements.sourcing import EventSourcedElement
from protean.exceptions import ConfigurationError


def sourced(cls: type, info: ElementInfo) -> type[EventSourcedElement]:
    """The event-sourced aggregate of a class as written. Raises ConfigurationError for what it cannot be."""
    unique = [name for name, spec in info.fields.items() if spec.unique and name != info.identity]
    if unique:
        raise ConfigurationError(
            f"`{unique[0]}` of {info.name} cannot be unique: {info.name} is event sourced and has no table that would "
            "see to it; keep a projection or another aggregate with that value for its identity"
        )
    methods = applied_by(cls)
    compiled = compile_class(cls, EventSourcedElement, info)
    compiled.__applied_by__ = methods
    return compiled


def check_not_sourced(cls: type) -> None:
    """Raise ConfigurationError if it has `@apply` methods, which nobody would call."""
    for event, method in applied_by(cls).items():
        raise ConfigurationError(
            f"{cls.__name__}.{method.__name__} applies {event}, and {cls.__name__} is not event sourced; declare it "
            "with @domain.aggregate(event_sourced=True), or take @apply off"
        )
