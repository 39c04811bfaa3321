"""Entities: objects with an identity that live inside an aggregate, and are loaded, saved and removed with it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from protean.elements.aggregate import AggregateElement
from protean.elements.element import StatefulElement, identity_of, info_of
from protean.elements.naming import snake_case
from protean.elements.typed import Changing
from protean.exceptions import InvalidOperationError


class Entity(Changing):
    """What every class decorated with `@domain.entity` is.

    Naming it as a base changes nothing at run time; it tells type checkers about the constructor and `raise_`.
    """

    def raise_(self, event: object) -> None:
        """Record what happened, as the aggregate that this is a part of; see `Aggregate.raise_`.

        Raises InvalidOperationError while this is part of none.
        """
        top = top_of(self) if isinstance(self, StatefulElement) else None
        if not isinstance(top, AggregateElement):
            part_of = info_of(type(self)).part_of
            owner = part_of if isinstance(part_of, str) else getattr(part_of, "__name__", "an aggregate")
            raise InvalidOperationError(
                f"{self!r:.80} is part of no {owner} here, so nobody would write {type(event).__name__}; put it into "
                f"one first, or let the {owner} raise the event"
            )
        top.raise_(event)


class EntityElement(Entity, StatefulElement):
    """An entity with pydantic under it."""


class Link:
    """Who has an entity, and in which field. Held weakly: an object that is dropped takes its parts along.

    A copied or pickled entity is part of nothing; when its owner is copied as a whole, that one takes it in anew.
    """

    __slots__ = ("_owner", "field")

    def __init__(self, owner: StatefulElement | None = None, field: str = "") -> None:
        self._owner = None if owner is None else weakref.ref(owner)
        self.field = field

    @property
    def owner(self) -> StatefulElement | None:
        return None if self._owner is None else self._owner()

    def __deepcopy__(self, memo: object) -> Link:
        return Link()

    def __reduce__(self) -> tuple[type[Link], tuple[()]]:
        return Link, ()


_NONE = Link()


def link_of(entity: StatefulElement) -> Link:
    """Where the entity is; an aggregate is nowhere."""
    link: Link = _private(entity).get("_link", _NONE)
    return link


def attach(entity: EntityElement, owner: StatefulElement, field: str) -> None:
    """Note that the entity is now in that field of `owner`."""
    _private(entity)["_link"] = Link(owner, field)


def detach(entity: EntityElement, owner: StatefulElement, field: str) -> None:
    """Note that the entity has left that field of `owner`, unless it is somewhere else already."""
    link = link_of(entity)
    if link.owner is owner and link.field == field:
        _private(entity)["_link"] = _NONE


def owner_of(entity: StatefulElement) -> StatefulElement | None:
    """The object that has the entity in one of its fields; None while none has."""
    return link_of(entity).owner


def upwards(element: StatefulElement) -> Iterator[StatefulElement]:
    """The element, what has it, what has that, up to the aggregate or how far up it goes as yet."""
    above: StatefulElement | None = element
    while above is not None:
        yield above
        above = owner_of(above)


def top_of(element: StatefulElement) -> StatefulElement:
    """The last of `upwards`."""
    while (owner := owner_of(element)) is not None:
        element = owner
    return element


def owner_column(owner: type) -> str:
    """The column that holds whose an entity's row is."""
    return f"{snake_case(owner.__name__)}_id"


def described(element: StatefulElement) -> str:
    """`Order '4711'`"""
    return f"{type(element).__name__} {identity_of(element)!r:.50}"


def _private(element: StatefulElement) -> dict[str, Any]:
    """Its `history`."""
    return element.__pydantic_private__ or {}
