"""What an object and its parts were like, to be put back."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from protean.elements.aggregate import Aggregate, forget_events, raised_events
from protean.elements.deferral import deferring
from protean.elements.element import StatefulElement
from protean.elements.entity import EntityElement, upwards
from protean.fields.associations import Bond
from protean.fields.spec import NESTED


class Snapshot:
    """An object with all below it as it is now, and the number of events raised by the aggregate that it is part of."""

    def __init__(self, element: StatefulElement) -> None:
        info, values = element.__protean__, element.__dict__
        self._element = element
        self._values = {
            # Values never change, lists and dicts do, in place.
            name: copy.deepcopy(values[name]) if spec.kind in NESTED else values[name]
            for name, spec in info.fields.items()
            if name in values
        }
        self._given = set(element.__pydantic_fields_set__)
        self._parts = {name: _content(values[name]) for name in _holding(element)}
        self._below = [Snapshot(part) for name in _holding(element) for part in _parts(values[name])]
        *_, top = upwards(element)
        self._top = top if isinstance(top, Aggregate) else None
        self._events = len(raised_events(self._top)) if self._top is not None else 0

    def restore(self) -> None:
        """Make everything what it was."""
        element = self._element
        with deferring(element):
            for name, content in self._parts.items():
                if not _same(_content(element.__dict__[name]), content):
                    setattr(element, name, content)
        element.__dict__.update(self._values)
        element.__pydantic_fields_set__.intersection_update(self._given)
        for part in self._below:
            part.restore()
        if self._top is not None:
            forget_events(self._top, self._events)


def parts_below(element: StatefulElement) -> Iterator[StatefulElement]:
    """The entities in the element, theirs, and so on."""
    for name in _holding(element):
        for part in _parts(element.__dict__[name]):
            yield part
            yield from parts_below(part)


def _holding(element: StatefulElement) -> list[str]:
    associations = element.__protean__.associations
    return [name for name, each in associations.items() if each.bond is not Bond.REFERENCE and name in element.__dict__]


def _content(value: Any) -> Any:
    return [*value] if isinstance(value, list) else value


def _parts(value: Any) -> list[EntityElement]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
    return one is other
