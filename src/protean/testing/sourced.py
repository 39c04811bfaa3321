"""Given an aggregate, when something is done to it, then these events: no domain is run, nothing is stored."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from protean.elements.aggregate import AggregateElement, clear_events, raised_events
from protean.elements.element import identity_of
from protean.elements.event import EventElement
from protean.elements.sourcing import EventSourcedElement, blank, replay
from protean.exceptions import InvalidOperationError, ProteanError
from protean.testing.history import identity_in
from protean.testing.outcome import (
    Errors,
    attempted,
    check_messages,
    check_rejection,
    check_state,
    refuse_error,
)


def given_aggregate(aggregate: Any, *history: object, identity: Any = None) -> GivenAggregate:
    """An aggregate as it is, or the class of an event-sourced one and its events so far, which are replayed.

    The events say its identity, or `identity` does. Without either it is one that nothing has happened to yet.
    """
    if isinstance(aggregate, AggregateElement):
        if history:
            raise InvalidOperationError(
                f"{type(aggregate).__name__} is given as it is, with {len(history)} events; give the class to have "
                "them replayed"
            )
        clear_events(aggregate)
        return GivenAggregate(aggregate, [repr(aggregate)])
    if not (isinstance(aggregate, type) and issubclass(aggregate, EventSourcedElement)):
        raise InvalidOperationError(
            f"given_aggregate() takes an aggregate, or the class of an event-sourced one, not {aggregate!r:.80}"
        )
    return GivenAggregate(_replayed(aggregate, history, identity), [repr(event) for event in history])


class GivenAggregate:
    """What `given_aggregate` returns. `aggregate` is the object itself, `told` its past in words."""

    def __init__(self, aggregate: Any, past: list[str]) -> None:
        self.aggregate = aggregate
        self.told = past

    def when(self, act: Callable[[Any], Any]) -> Done:
        """Call `act` with the aggregate. What it returns, if it is such an aggregate, is looked at instead."""
        cls = type(self.aggregate)
        before = deepcopy(self.aggregate.__dict__)
        result, error = attempted(lambda: act(self.aggregate))
        if isinstance(result, cls):
            self.aggregate = result
        return Done(self, getattr(act, "__qualname__", repr(act)), before=before, result=result, error=error)

    def __repr__(self) -> str:
        return "given " + ("\n      ".join(self.told) or "nothing")


class Done:
    """What came of it. Each `then…` raises AssertionError showing what differs, and others may follow it."""

    def __init__(
        self, past: GivenAggregate, what: str, *, before: dict[str, Any], result: Any, error: Exception | None
    ) -> None:
        self._past = past
        self._what = f"{type(past.aggregate).__name__} {identity_of(past.aggregate)!r}, after {what},"
        self._before = before
        self._result = result
        self.error = error

    @property
    def result(self) -> Any:
        """What was returned."""
        refuse_error(self._what, self.error, "a result")
        return self._result

    @property
    def events(self) -> list[Any]:
        """The events that it has raised."""
        return list(raised_events(self._past.aggregate))

    def then(self, *expected: object) -> Done:
        """It has raised exactly these events, in this order; none, where there are none."""
        refuse_error(self._what, self.error, "events:\n" + "\n".join(f"  {each!r}" for each in expected))
        check_messages(self._what, "events", expected, self.events, repr(self._past))
        return self

    def then_rejected(self, error: Errors = ProteanError, match: str | None = None, **messages: str) -> Done:
        """It was refused with such an error, no event was raised, and it is as it was. See `Told.then_rejected`."""
        check_rejection(self._what, self.error, error, match=match, messages=messages, instead=self.events)
        check_messages(self._what, "events", (), self.events, repr(self._past))
        check_state(self._what, self._past.aggregate, self._before)
        return self

    def then_state(self, **fields: Any) -> Done:
        """It has these values in these fields."""
        check_state(self._what, self._past.aggregate, fields)
        return self

    def when(self, act: Callable[[Any], Any]) -> Done:
        """The next step; the events of this one are its past."""
        refuse_error(self._what, self.error, "that it is followed by another step")
        past = [repr(event) for event in self.events]
        clear_events(self._past.aggregate)
        return GivenAggregate(self._past.aggregate, [*self._past.told, *past]).when(act)


def _replayed(cls: type[EventSourcedElement], history: tuple[object, ...], identity: Any) -> EventSourcedElement:
    events = [event for event in history if isinstance(event, EventElement)]
    if len(events) < len(history):
        raise InvalidOperationError(f"a history of {cls.__name__} is made of events, not of {history!r:.200}")
    if identity is None:
        identity = identity_in(events[0], cls) if events else f"{cls.__protean__.stream_category}-1"
    aggregate = blank(cls, identity)
    for event in events:
        replay(aggregate, event)
    return aggregate
