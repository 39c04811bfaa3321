"""Who answers which query, and what a handler that takes every event takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

from protean.elements.element import ElementKind, info_of
from protean.elements.handlers import ANY, Method, QueryRoute, marked_methods
from protean.elements.payload import PayloadElement
from protean.elements.projection import ProjectionElement


def route_queries(
    cls: type,
    projection: type[ProjectionElement] | None,
    methods: Mapping[type[PayloadElement], Method],
    routes: dict[type, QueryRoute],
    problems: list[str],
) -> None:
    """Enter the queries that the handler `cls` of a projection answers into `routes`."""
    for query, method in methods.items():
        asked = query.__protean__.part_of
        if query in routes:
            problems.append(
                f"{query.__name__} has two handlers, {routes[query].handler.__name__} and {cls.__name__}; a query has "
                "exactly one"
            )
        elif projection is not None and isinstance(asked, type) and asked is not projection:
            problems.append(
                f"{cls.__name__} is part of {projection.__name__} and answers {query.__name__}, which is part of "
                f"{asked.__name__}; let a handler of {asked.__name__} answer it"
            )
        elif projection is not None:
            routes[query] = QueryRoute(projection, cls, method)


def catch_all_of(cls: type, problems: list[str]) -> Method | None:
    """The method that takes every event without one of its own, `@on("$any")`, if there is one."""
    found = [(name, method) for name, message, method in marked_methods(cls) if message == ANY]
    if len(found) > 1:
        problems.append(f'{cls.__name__} has two methods for "{ANY}", {found[0][0]} and {found[1][0]}; keep one')
    for name, method in found:
        if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
            problems.append(f"{cls.__name__}.{name} is a generator: it would run when nobody is looking")
    return found[0][1] if found else None


def events_of(
    cls: type, categories: Sequence[str], elements: Mapping[str, type], problems: list[str]
) -> list[type[PayloadElement]]:
    """Every event of these streams, for a handler that takes them all; streams must be named for that."""
    if not categories:
        problems.append(
            f'{cls.__name__} takes every event ("{ANY}") and does not say whose; name the aggregates in its decorator'
        )
    return [
        element
        for element in elements.values()
        if issubclass(element, PayloadElement)
        and element.__protean__.kind is ElementKind.EVENT
        and isinstance(element.__protean__.part_of, type)
        and (element.__protean__.stream_category or info_of(element.__protean__.part_of).stream_category) in categories
    ]
