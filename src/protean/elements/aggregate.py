"""Aggregates: objects with an identity and a history, changed by commands, telling events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protean.elements.element import StatefulElement
from protean.elements.event import EventElement
from protean.elements.typed import Changing
from protean.exceptions import InvalidOperationError


class Aggregate(Changing):
    """What every class decorated with `@domain.aggregate` is.

    Naming it as a base (`class Customer(Aggregate)`) changes nothing at run time; it tells mypy, which
    does not follow decorators on an instance, about the constructor and `raise_`.
    """

    @property
    def _version(self) -> int:
        """How often it was saved, counted from 0; -1 before the first time."""
        return version_of(self)

    def raise_(self, event: object) -> None:
        """Record what happened; it is written together with the aggregate.

        Raises InvalidOperationError for anything but an event of this aggregate.
        """
        _private(self)["_events"].append(raisable(self, event))


class AggregateElement(Aggregate, StatefulElement):
    """An aggregate with pydantic under it."""


def raisable(aggregate: Aggregate, event: object) -> EventElement:
    """The event itself. Raises InvalidOperationError for anything but an event of this aggregate."""
    name = type(aggregate).__name__
    if not isinstance(event, EventElement):
        raise InvalidOperationError(
            f"{name} can raise events, and {event!r:.80} is not an instance of one; "
            "declare its class with @domain.event"
        )
    owner = event.__protean__.part_of
    if owner is not type(aggregate) and owner != name:
        other = owner if isinstance(owner, str | None) else owner.__name__
        raise InvalidOperationError(f"{type(event).__name__} is part of {other}; {name} cannot raise it")
    return event


def raised_events(aggregate: Aggregate) -> tuple[EventElement, ...]:
    """What was raised since the last `clear_events`, in order."""
    return tuple(_private(aggregate)["_events"])


def raised_here(aggregate: Aggregate) -> Sequence[EventElement]:
    """The same as a view that stays: what is raised later appears in it. For who looks often and at many."""
    events: list[EventElement] = _private(aggregate)["_events"]
    return events


def clear_events(aggregate: Aggregate) -> None:
    """Forget the events raised: they are committed, or never will be."""
    _private(aggregate)["_events"].clear()


def forget_events(aggregate: Aggregate, beyond: int) -> None:
    """Forget those raised after so many: what they were part of was undone."""
    del _private(aggregate)["_events"][beyond:]


def give_back_events(aggregate: AggregateElement, events: Sequence[EventElement]) -> None:
    """Put events back in front of those raised since: what they were part of was not saved."""
    _private(aggregate)["_events"][:0] = events


def version_of(aggregate: Aggregate) -> int:
    """How often it was saved, counted from 0; -1 before the first time."""
    version: int = _private(aggregate)["_saved"]
    return version


def set_version(aggregate: Aggregate, version: int) -> None:
    """Called after a save, with the version that the row now has."""
    _private(aggregate)["_saved"] = version


def _private(aggregate: Aggregate) -> dict[str, Any]:
    """Its `history`."""
    private: dict[str, Any] = aggregate.__pydantic_private__  # type: ignore[attr-defined]  # compiled ones have it
    return private
