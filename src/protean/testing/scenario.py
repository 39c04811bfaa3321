"""Given what has happened, when a command comes, then these events: a test of a whole domain, in the domain's words."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from protean.domain import Domain
from protean.elements.command import CommandElement
from protean.elements.element import StatefulElement
from protean.elements.event import EventElement
from protean.elements.payload import PayloadElement
from protean.exceptions import InvalidOperationError, ProteanError
from protean.testing.draining import drain
from protean.testing.history import write_history
from protean.testing.outcome import (
    Errors,
    attempted,
    check_messages,
    check_rejection,
    check_state,
    refuse_error,
)
from protean.testing.recording import Record, committing, events
from protean.write.context import is_active


def active_in(domain: Domain) -> AbstractContextManager[None]:
    """Its context, unless that surrounds the running code already."""
    return nullcontext() if is_active(domain) else domain.domain_context()


def given(domain: Domain, *past: object) -> Given:
    """The past of a test, in order: aggregates and projections that are saved, events that have happened, commands.

    An event goes to the log as it is, into the stream of the aggregate that it names, and to whoever listens; no rule
    is asked. All that follows has happened too, before this returns. Raises StuckError where that is not possible.
    """
    return Given(domain).and_(*past)


class Given:
    """What `given` returns: more of the past, and then the step that is tested."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._past: list[str] = []

    def and_(self, *past: object) -> Given:
        """More of the past; see `given`."""
        for each in past:
            self._past.append(repr(each))
            with active_in(self._domain):
                self._happen(each)
                drain(self._domain)
        return self

    def history(self, aggregate: type[Any], identity: Any, *events: object) -> Given:
        """Events of one aggregate, where they do not say themselves which one."""
        for each in events:
            if not isinstance(each, EventElement):
                raise InvalidOperationError(f"a history of {aggregate.__name__} is made of events, not of {each!r:.80}")
            self._past.append(f"{each!r} of {identity!r}")
            with active_in(self._domain):
                write_history(self._domain, each, identity)
                drain(self._domain)
        return self

    def after(self, step: str) -> Given:
        """The same past, told with that step behind it."""
        self._past.append(step)
        return self

    def when(self, act: object, *, priority: int | None = None, idempotency_key: str | None = None) -> Told:
        """What is tested: a command, an event that happens, or a function without arguments.

        It is done here and now, also a command that a server would handle later. An error is kept for `then_rejected`.
        """
        if not (isinstance(act, EventElement | CommandElement) or callable(act)):
            raise InvalidOperationError(f"when() takes a command, an event or a function, not {act!r:.80}")
        record = Record()
        with active_in(self._domain), committing(self._domain, record):
            result, error = attempted(lambda: self._do(act, priority, idempotency_key))
        if isinstance(act, EventElement):
            record.own.clear()  # what is looked at is what follows from it
        return Told(self, self._domain, act, record=record, result=result, error=error)

    def __repr__(self) -> str:
        return "given " + ("\n      ".join(self._past) or "nothing")

    def _happen(self, past: object) -> None:
        if isinstance(past, EventElement):
            write_history(self._domain, past)
        elif isinstance(past, CommandElement):
            self._domain.process(past, asynchronous=False)
        elif isinstance(past, StatefulElement):
            self._domain.repository_for(type(past)).add(past)
        else:
            raise InvalidOperationError(
                f"given are aggregates, projections, events and commands of the domain, not {past!r:.80}"
            )

    def _do(self, act: object, priority: int | None, idempotency_key: str | None) -> Any:
        if isinstance(act, EventElement):
            return write_history(self._domain, act)
        if callable(act):
            return act()
        return self._domain.process(act, asynchronous=False, priority=priority, idempotency_key=idempotency_key)


class Told:
    """What came of the step. Each `then…` raises AssertionError showing what differs, and others may follow it."""

    def __init__(
        self, past: Given, domain: Domain, act: object, *, record: Record, result: Any, error: Exception | None
    ) -> None:
        self._past = past
        self._domain = domain
        self._what = repr(act) if isinstance(act, PayloadElement) else getattr(act, "__qualname__", repr(act))
        self._of_event = isinstance(act, EventElement)
        self._record = record
        self._result = result
        self.error = error

    @property
    def result(self) -> Any:
        """What the handler, or the function, returned."""
        refuse_error(self._what, self.error, "a result")
        return self._result

    @property
    def events(self) -> list[Any]:
        """The events of the step itself; of an event that happened, what follows from it."""
        refuse_error(self._what, self.error, "events")
        return self.followed if self._of_event else events(self._domain.registry, self._record.own)

    @property
    def followed(self) -> list[Any]:
        """The events that handlers have told in consequence, after everything has come to rest."""
        self._come_to_rest()
        return events(self._domain.registry, self._record.followed)

    def then(self, *expected: object) -> Told:
        """It has told exactly these events, in this order; none, where there are none.

        Each is an event, equal in every field, a class of events, or `like(…)`.
        """
        refuse_error(self._what, self.error, "events:\n" + "\n".join(f"  {each!r}" for each in expected))
        check_messages(self._what, "events", expected, self.events, repr(self._past))
        return self

    def then_followed(self, *expected: object) -> Told:
        """Handlers have told exactly these events in consequence, in this order."""
        refuse_error(self._what, self.error, "that events follow")
        check_messages(f"what follows from {self._what}", "events", expected, self.followed, repr(self._past))
        return self

    def then_rejected(self, error: Errors = ProteanError, match: str | None = None, **messages: str) -> Told:
        """It was refused with such an error, and nothing was told.

        `match` is looked for in its text; `messages` are fields of a ValidationError, and what is looked for in what it
        says of them (regular expressions).
        """
        told = [] if self.error is not None else self.events
        check_rejection(self._what, self.error, error, match=match, messages=messages, instead=told)
        return self

    def then_state(self, element: type[Any], identity: Any, **fields: Any) -> Told:
        """That aggregate, projection or process is there, with these values in these fields; all has come to rest."""
        found = self._found(element, identity)
        if found is None:
            raise AssertionError(f"after {self._what} there is no {element.__name__} {identity!r}\n{self._past!r}")
        check_state(f"{element.__name__} {identity!r}, after {self._what},", found, fields)
        return self

    def then_gone(self, element: type[Any], identity: Any) -> Told:
        """There is none with that identity."""
        found = self._found(element, identity)
        if found is not None:
            raise AssertionError(f"after {self._what} there is a {element.__name__} {identity!r}: {found!r}")
        return self

    def when(self, act: object, **options: Any) -> Told:
        """The next step: see `Given.when`. What was before it is its past."""
        refuse_error(self._what, self.error, "that it is followed by another step")
        self._come_to_rest()
        return self._past.after(self._what).when(act, **options)

    def _found(self, element: type[Any], identity: Any) -> Any:
        self._come_to_rest()
        with active_in(self._domain):
            return self._domain.repository_for(element).get_or_none(identity)

    def _come_to_rest(self) -> None:
        with active_in(self._domain), committing(self._domain, self._record, following=True):
            drain(self._domain)
