"""Services: domain logic over several aggregates, and the use cases that an application offers."""

from __future__ import annotations

from typing import Final

from protean.elements.element import info_of

#: What marks a method as a use case.
USE_CASE: Final = "__protean_use_case__"


def use_cases_of(cls: type) -> list[str]:
    """The names of the methods that are use cases, also inherited ones."""
    return [name for name in dir(cls) if getattr(getattr(cls, name, None), USE_CASE, False)]


def aggregates_named(cls: type) -> tuple[object, ...]:
    """The aggregates that a service's `part_of` names, as it names them."""
    named = info_of(cls).options.get("part_of")
    if named is None:
        return ()
    return tuple(named) if isinstance(named, list | tuple | set | frozenset) else (named,)
