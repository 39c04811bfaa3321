"""Events: facts about an aggregate, told once and never changed."""

from __future__ import annotations

from protean.elements.payload import PayloadElement
from protean.elements.typed import Unchanging


class Event(Unchanging):
    """What every class decorated with `@domain.event` is; naming it as a base is for type checkers only.

    `__version__` counts the versions of its fields; an upcaster brings older ones up to it.
    """


class EventElement(Event, PayloadElement):  # type: ignore[misc]  # to mypy, pydantic's models change
    """An event with pydantic under it."""
