"""Handlers: plain classes whose marked methods take commands or events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from protean.elements.aggregate import AggregateElement
from protean.elements.element import ElementKind, StatefulElement
from protean.elements.payload import PayloadElement
from protean.elements.projection import ProjectionElement
from protean.exceptions import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])

#: A handler's function, called with an instance of the handler and the message.
Method = Callable[[Any, Any], Any]

#: What the category of an aggregate's asynchronous commands has behind its own.
COMMANDS: Final = ":command"
_MARK: Final = "__protean_handles__"
_STEPS: Final = "__protean_steps__"
#: Stands for every event of a handler's streams that no other method of it takes.
ANY: Final = "$any"


def handle(
    message: type | str,
    *,
    start: bool = False,
    correlate: str | Mapping[str, str] | None = None,
    end: bool = False,
) -> Callable[[F], F]:
    """Mark a method as taking this command or event, given as class or by name. May be repeated.

    The options are for process managers: `correlate` names the field that tells which process an event belongs to, or
    maps the process's field to the event's; `start` begins a process where there is none, `end` ends it afterwards.
    """
    if not isinstance(message, type | str):
        raise ConfigurationError(f"@handle takes a command, an event or the name of one, not {message!r:.80}")
    step = _step(message, start, correlate, end)

    def mark(function: F) -> F:
        setattr(function, _MARK, (message, *getattr(function, _MARK, ())))
        if step is not None:
            setattr(function, _STEPS, {**getattr(function, _STEPS, {}), message: step})
        return function

    return mark


on = handle
"""The same, as it reads in a projector: `@on(CustomerRegistered)`."""


read = handle
"""The same, as it reads in a query handler: `@read(OrdersOfCustomer)`."""


class QueryRoute(NamedTuple):
    """Where a query goes: `method(handler(), query)`."""

    projection: type[ProjectionElement]
    handler: type
    method: Method


class CommandRoute(NamedTuple):
    """Where a command goes: `method(handler(), command)`."""

    aggregate: type[AggregateElement]
    handler: type
    method: Method


@dataclass(frozen=True, slots=True)
class Step:
    """What an event is to a process manager: `key` is its field that instances are found by, `source` the event's."""

    key: str
    source: str
    start: bool = False
    end: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessPlan:
    """A process manager, ready to run: `steps` by type of message, `timeouts` by name.

    `told_by` is the message, in the process's own stream, that tells one of its timeouts is due.
    """

    cls: type[StatefulElement]
    steps: Mapping[str, Step]
    timeouts: Mapping[str, Callable[[Any], Any]]
    told_by: type[PayloadElement]


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
    process: ProcessPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberSpec:
    """A subscriber, ready to run: the foreign `stream` it reads, on which `broker` (None: the domain's own).

    `provider` names the database of its effects. `handler` has the stream's name for a type.
    """

    handler: HandlerSpec
    stream: str
    broker: str | None
    provider: str


def command_category(stream_category: str) -> str:
    """The streams of an aggregate's asynchronous commands: `customer:command`."""
    return f"{stream_category}{COMMANDS}"


def marked_methods(cls: type) -> list[tuple[str, type | str, Method]]:
    """(method name, command or event, function) for every marked method, also inherited ones."""
    functions: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        functions.update(vars(base))
    return [
        (name, message, function) for name, function in functions.items() for message in getattr(function, _MARK, ())
    ]


def steps_of(function: object) -> Mapping[type | str, Step]:
    """What a marked method says about processes, by its messages as they are named there."""
    steps: Mapping[type | str, Step] = getattr(function, _STEPS, {})
    return steps


def correlation_fields(cls: type) -> list[str]:
    """The fields of a process manager that its methods' `correlate` names, without repetitions."""
    return list(dict.fromkeys(step.key for _, _, method in marked_methods(cls) for step in steps_of(method).values()))


def _step(message: type | str, start: bool, correlate: str | Mapping[str, str] | None, end: bool) -> Step | None:
    """Raises ConfigurationError for options that contradict each other."""
    name = message if isinstance(message, str) else message.__name__
    if correlate is None:
        if start or end:
            raise ConfigurationError(
                f'@handle({name}): `start` and `end` are about a process; say which one with correlate="…", the field '
                "that tells"
            )
        return None
    pairs = [(correlate, correlate)] if isinstance(correlate, str) else list(dict(correlate).items())
    named: list[object] = [part for pair in pairs for part in pair]
    if len(named) != 2 or not all(isinstance(part, str) and part.isidentifier() for part in named):
        raise ConfigurationError(
            f"@handle({name}): `correlate` is {correlate!r:.80}; give a field's name, or one pair of them: "
            '{"order_id": "id"}'
        )
    return Step(*pairs[0], start=start, end=end)
