"""`@apply` methods: what an event does to the state of its event-sourced aggregate, now and at every replay."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType, UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, overload

from protean.elements.handlers import Method
from protean.exceptions import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])

_MARK: Final = "__protean_applies__"


@overload
def apply(event: type | str, /) -> Callable[[F], F]: ...
@overload
def apply(method: F, /) -> F: ...
def apply(event: Any, /) -> Any:
    """Mark a method as what an event does to an event-sourced aggregate: `@apply def placed(self, event: OrderPlaced)`.

    The event is the one its parameter is annotated with, or is named: `@apply(OrderPlaced)`. May be repeated.
    """
    if isinstance(event, type | str):
        return lambda function: _marked(function, event)
    if not inspect.isfunction(event):
        raise ConfigurationError(f"@apply marks a method, or takes an event or the name of one, not {event!r:.80}")
    return _marked(event, None)


def applied_by(cls: type) -> Mapping[str, Method]:
    """The method for each event that a class as written has one for, by the event's name; also inherited ones.

    Raises ConfigurationError for a method that cannot be one, and for two with the same event.
    """
    functions: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        functions.update(vars(base))
    methods: dict[str, Method] = {}
    for name, function in functions.items():
        for event in _events_of(cls, name, function):
            if methods.get(event, function) is not function:
                raise ConfigurationError(
                    f"{event} has two @apply methods in {cls.__name__}, {methods[event].__name__} and {name}; keep one"
                )
            methods[event] = function
    return MappingProxyType(methods)


def _marked(function: F, event: type | str | None) -> F:
    setattr(function, _MARK, (event, *getattr(function, _MARK, ())))
    return function


def _events_of(cls: type, name: str, function: object) -> Iterator[str]:
    marks: tuple[type | str | None, ...] = getattr(function, _MARK, ())
    if not marks:
        return
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigurationError(f"{cls.__name__}.{name} must be plain code: it runs whenever the aggregate is loaded")
    for mark in marks:
        if mark is None:
            yield from _annotated(cls, name, function)
        else:
            yield _name(mark)


def _annotated(cls: type, name: str, function: Any) -> Iterator[str]:
    """The names of the events in the annotation of the one parameter; as text, as under `from __future__`, too."""
    _, *parameters = inspect.signature(function).parameters.values()
    annotation = parameters[0].annotation if len(parameters) == 1 else inspect.Parameter.empty
    if annotation is inspect.Parameter.empty:
        raise ConfigurationError(
            f"{cls.__name__}.{name} does not say which event it applies: annotate its one parameter, as in "
            f"`def {name}(self, event: OrderPlaced)`, or name the event, @apply(OrderPlaced)"
        )
    if isinstance(annotation, str):
        yield from map(_name, annotation.split("|"))
    elif get_origin(annotation) in (Union, UnionType):
        yield from map(_name, get_args(annotation))
    else:
        yield _name(annotation)


def _name(event: Any) -> str:
    """`OrderPlaced`, of the class, its name or a dotted name."""
    text = event if isinstance(event, str) else getattr(event, "__name__", str(event))
    return text.strip(" \"'").rpartition(".")[2]
