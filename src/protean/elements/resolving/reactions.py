"""What runs behind a stream without being an event handler or projector: command handlers, processes, subscribers."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from protean.elements.element import ElementInfo, ElementKind, info_of
from protean.elements.handlers import (
    CommandRoute,
    HandlerSpec,
    Method,
    ProcessPlan,
    Step,
    SubscriberSpec,
    command_category,
    steps_of,
)
from protean.elements.payload import PayloadElement
from protean.elements.process_manager import ProcessManagerElement, timeouts_of
from protean.elements.resolving.evolving import names_of
from protean.suggestion import did_you_mean


def command_consumers(routes: Mapping[type[PayloadElement], CommandRoute]) -> list[HandlerSpec]:
    """The command handlers as consumers of their aggregates' asynchronous commands."""
    methods: dict[type, dict[str, Method]] = {}
    aggregates = {}
    for command, route in routes.items():
        aggregates[route.handler] = route.aggregate
        mine = methods.setdefault(route.handler, {})
        mine.update(dict.fromkeys(names_of(command), route.method))
    return [
        HandlerSpec(
            name=handler.__name__,
            kind=ElementKind.COMMAND_HANDLER,
            cls=handler,
            sequenced=False,
            categories=(command_category(aggregate.__protean__.stream_category),),
            methods=MappingProxyType(methods[handler]),
        )
        for handler, aggregate in aggregates.items()
    ]


def subscribers(elements: Iterable[type]) -> list[SubscriberSpec]:
    """The subscribers as consumers of foreign streams, which are none of the domain's categories."""
    found = []
    for cls in elements:
        info = info_of(cls)
        if info.kind is not ElementKind.SUBSCRIBER:
            continue
        stream = info.options["stream"]
        handler = HandlerSpec(
            name=info.name,
            kind=info.kind,
            cls=cls,
            sequenced=False,
            categories=(),
            methods=MappingProxyType({stream: cls.__call__}),
        )
        broker, provider = info.options.get("broker"), info.options.get("provider", "default")
        found.append(SubscriberSpec(handler=handler, stream=stream, broker=broker, provider=provider))
    return found


def listening(info: ElementInfo) -> ElementInfo:
    """A process manager's description as its streams are worked out by: `stream_category` is its own, of timeouts."""
    return replace(info, options={name: value for name, value in info.options.items() if name != "stream_category"})


def process_consumer(
    cls: type[ProcessManagerElement],
    methods: Mapping[type[PayloadElement], Method],
    categories: tuple[str, ...],
    messages: dict[str, type[PayloadElement]],
    problems: list[str],
) -> HandlerSpec:
    """A process manager as a consumer of those streams and its own; what tells of timeouts is entered in `messages`."""
    info, told_by = cls.__protean__, cls.__protean__.options["told_by"]
    if told_by.__name__ in messages:
        problems.append(f"{told_by.__name__} is what {cls.__name__} is told of its timeouts by; rename the other one")
    messages[told_by.__name__] = told_by
    steps: dict[str, Step] = {}
    for event, method in methods.items():
        if step := _step_of(cls, event, method, problems):
            steps.update(dict.fromkeys(names_of(event), step))
    if methods and not any(step.start for step in steps.values()):
        problems.append(f"{cls.__name__} never begins: give the @handle of its first event `start=True`")
    for name, awakened in timeouts_of(cls).items():
        if inspect.isgeneratorfunction(awakened) or inspect.isasyncgenfunction(awakened):
            problems.append(f"the timeout {name!r} of {cls.__name__} is a generator: it would run when nobody looks")
    by_name = {name: method for event, method in methods.items() for name in names_of(event)}
    return HandlerSpec(
        name=info.name,
        kind=info.kind,
        cls=cls,
        sequenced=True,
        categories=tuple(dict.fromkeys((*categories, info.stream_category))),
        methods=MappingProxyType({**by_name, told_by.__name__: _told}),
        subscription_type=info.options.get("subscription_type"),
        subscription_config=MappingProxyType(dict(info.options.get("subscription_config") or {})),
        process=ProcessPlan(cls=cls, steps=MappingProxyType(steps), timeouts=timeouts_of(cls), told_by=told_by),
    )


def _step_of(
    cls: type[ProcessManagerElement], event: type[PayloadElement], method: Method, problems: list[str]
) -> Step | None:
    """What the event is to the process; None, and one more problem, when that cannot be."""
    step = next((step for name, step in steps_of(method).items() if name in (event, event.__name__)), None)
    if step is None:
        problems.append(
            f"{cls.__name__} handles {event.__name__} without `correlate`, so which process is it about? "
            f'@handle({event.__name__}, correlate="{cls.__protean__.identity}")'
        )
        return None
    if step.source not in event.__protean__.fields:
        suggestion = did_you_mean(step.source, event.__protean__.fields)
        problems.append(
            f"{cls.__name__} finds the process of {event.__name__} by `{step.source}`, which that has no field "
            f'for{suggestion}; where the event calls it otherwise: correlate={{"{step.key}": "…"}}'
        )
        return None
    owner = event.__protean__.part_of
    here, there = cls.__protean__.provider, getattr(getattr(owner, "__protean__", None), "provider", None)
    if there is not None and here != there:
        problems.append(
            f"{cls.__name__} is kept in the database {here!r} and {event.__name__} is in {there!r}: a process is kept "
            "where its events are, so that both happen or neither"
        )
    return step


def _told(_process: object, _message: object) -> None:
    """Stands where a method stands: which one a timeout calls is in its message."""
