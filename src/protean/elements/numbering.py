"""Identities that a database counts. Elements know no database: whoever does says here how numbers are had."""

from __future__ import annotations

from collections.abc import Callable

from protean.elements.aggregate import AggregateElement
from protean.elements.element import Element, ElementInfo, StatefulElement
from protean.elements.entity import EntityElement
from protean.elements.sourcing import EventSourcedElement
from protean.exceptions import ConfigurationError, InvalidOperationError

#: Gives a new object of that class its number.
Count = Callable[[type[StatefulElement]], int]

_counts: list[Count] = []


def count_with(count: Count) -> None:
    """Have the numbers of all classes counted by that function from now on."""
    _counts[:] = [count]


class NextNumber:
    """The default of a counted identity. `cls` is the class that has it, once that is compiled."""

    def __init__(self) -> None:
        self.cls: type[Element] | None = None

    def __call__(self) -> int:
        if self.cls is None or not issubclass(self.cls, StatefulElement) or not _counts:
            raise InvalidOperationError("identities are counted by a database, and no domain has been made")
        return _counts[0](self.cls)


def check_counted(info: ElementInfo, base: type) -> None:
    """Refuse what no database counts. Raises ConfigurationError."""
    for name, spec in info.fields.items():
        if not spec.increment:
            continue
        what = f"`{name}` of {info.name}: Auto(increment=True)"
        if not issubclass(base, AggregateElement | EntityElement):
            raise ConfigurationError(f"{what} is for aggregates and entities; here it is Integer(), and given")
        if issubclass(base, EventSourcedElement):
            raise ConfigurationError(f"{what} needs a table to count in, and an event-sourced aggregate has none")
        if name != info.identity:
            raise ConfigurationError(f"{what} counts identities; a {info.kind} has one, and it is `{info.identity}`")
