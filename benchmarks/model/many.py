"""A domain of three hundred elements, as a large application has them, made anew at every call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pydantic

from protean import Domain, handle, on
from protean.fields import DateTime, Float, Identifier, Integer, String

#: Elements that belong to one aggregate, itself among them.
EACH = 12


def declared(aggregates: int) -> Domain:
    """A domain with so many aggregates, each with its commands, events, handlers and read model; not initialized."""
    domain = Domain("many", config={})
    for number in range(aggregates):
        _declare(domain, f"Thing{number}")
    return domain


def plain(aggregates: int) -> list[type[pydantic.BaseModel]]:
    """The same fields in plain pydantic models; handlers cost nothing there."""
    return [
        _model(f"Thing{number}{suffix}", columns)
        for number in range(aggregates)
        for suffix, columns in (("", _STATE), ("View", _STATE), ("Size", _SIZE), *((verb, _TOLD) for verb in _VERBS))
    ]


_VERBS = ("Add", "Move", "Drop", "Added", "Moved", "Dropped")
_STATE: dict[str, Any] = {
    "name": str,
    "place": str,
    "weight": float,
    "count": int,
    "label": str | None,
    "moved_at": str | None,
}
_TOLD: dict[str, Any] = {"thing_id": str, "name": str, "place": str, "weight": float, "count": int}
_SIZE: dict[str, Any] = {"width": float, "height": float}


def _model(name: str, columns: dict[str, Any]) -> type[pydantic.BaseModel]:
    limited = pydantic.Field(max_length=100)
    fields: dict[str, Any] = {
        field: (kind, limited) if kind is str else (kind, None) if kind == str | None else (kind, ...)
        for field, kind in columns.items()
    }
    return pydantic.create_model(name, __config__=pydantic.ConfigDict(extra="forbid"), **fields)


def _declare(domain: Domain, name: str) -> None:
    domain.value_object(_class(f"{name}Size", width=Float(required=True), height=Float(required=True)))
    state = {
        "name": String(required=True, max_length=100),
        "place": String(required=True, max_length=100),
        "weight": Float(default=0.0),
        "count": Integer(default=0),
        "label": String(max_length=100),
    }
    aggregate = domain.aggregate(_class(name, **state, moved_at=DateTime()))
    view = domain.projection(_class(f"{name}View", thing_id=Identifier(identifier=True), **state))
    messages: dict[str, type[object]] = {
        verb: declare(part_of=aggregate)(_class(f"{name}{verb}", **_told()))
        for declare, verbs in ((domain.command, _VERBS[:3]), (domain.event, _VERBS[3:]))
        for verb in verbs
    }
    commands, events = [messages[verb] for verb in _VERBS[:3]], [messages[verb] for verb in _VERBS[3:]]
    domain.command_handler(part_of=aggregate)(_class(f"{name}Commands", **_methods(handle, commands)))
    domain.projector(projector_for=view, aggregates=[aggregate])(_class(f"{name}Projector", **_methods(on, events)))
    domain.event_handler(part_of=aggregate)(_class(f"{name}Reactions", **_methods(handle, events)))


def _told() -> dict[str, Any]:
    return {
        "thing_id": Identifier(required=True),
        "name": String(required=True, max_length=100),
        "place": String(required=True, max_length=100),
        "weight": Float(required=True),
        "count": Integer(required=True),
    }


def _methods(mark: Callable[[type], Callable[[Any], Any]], messages: list[type]) -> dict[str, Any]:
    def method() -> Callable[[Any, Any], None]:
        def takes(_handler: Any, _message: Any) -> None:
            """Declared, never called."""

        return takes

    return {f"takes_{number}": mark(message)(method()) for number, message in enumerate(messages)}


def _class(called: str, /, **contents: Any) -> type[object]:
    return type(called, (), {"__module__": __name__, **contents})
