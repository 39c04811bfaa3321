"""Objects that have others: lists of entities, single ones, and the identities of aggregates."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, SupportsIndex, TypeVar, cast, overload

from protean.elements.aggregate import AggregateElement
from protean.elements.deferral import deferring
from protean.elements.element import StatefulElement, construct, identity_of
from protean.elements.entity import EntityElement, attach, described, detach, link_of, top_of, upwards
from protean.elements.guarding import changing, is_watched
from protean.elements.replaying import is_replaying
from protean.exceptions import ValidationError
from protean.fields.associations import Association, Bond

P = ParamSpec("P")
R = TypeVar("R")
Row = Mapping[str, Any]


def _watched(change: Callable[Concatenate[EntityList, P], R]) -> Callable[Concatenate[EntityList, P], R]:
    """A change of a list is one of the object that has it: invariants are looked at, and it is undone if they break."""

    @wraps(change)
    def watched(self: EntityList, *given: P.args, **named: P.kwargs) -> R:
        owner = self.owner
        if owner is None or not is_watched(owner):
            return change(self, *given, **named)
        before = [*self]
        try:
            with changing(owner):
                return change(self, *given, **named)
        except BaseException:
            with deferring(owner):
                self.become(before)
            raise

    return cast("Callable[Concatenate[EntityList, P], R]", watched)


class EntityList(list[EntityElement]):
    """The entities in one field of one object: a list that knows whose it is.

    What is put in is refused at once when it is no entity of the right class, is part of another object, or is in
    the list already. A copy or a slice of it is a plain list. Raises ValidationError naming the field and the item.
    """

    __slots__ = ("_association", "_field", "_owner")

    def __init__(self, owner: StatefulElement, field: str, items: Iterable[object] = ()) -> None:
        super().__init__()
        self._owner = weakref.ref(owner)
        self._field = field
        self.extend(items)

    @property
    def owner(self) -> StatefulElement | None:
        """The object that has it; None when that one is gone."""
        return self._owner()

    def append(self, item: object) -> None:
        self.extend([item])

    @_watched
    def insert(self, index: SupportsIndex, item: object) -> None:
        (entity,) = self._taken_in([item], at=min(max(int(index), 0), len(self)))
        super().insert(index, entity)

    @_watched
    def extend(self, items: Iterable[object]) -> None:
        super().extend(self._taken_in(list(items), at=len(self)))

    def __iadd__(self, items: Iterable[object]) -> Self:  # type: ignore[override,misc]  # takes no more than `+`
        self.extend(items)
        return self

    def __imul__(self, count: SupportsIndex) -> Self:
        self.become([*self] * int(count))
        return self

    @overload
    def __setitem__(self, index: SupportsIndex, item: Any) -> None: ...
    @overload
    def __setitem__(self, index: slice, item: Iterable[Any]) -> None: ...
    def __setitem__(self, index: Any, item: Any) -> None:
        changed: list[Any] = [*self]
        changed[index] = item
        self.become(changed)

    @_watched
    def __delitem__(self, index: SupportsIndex | slice) -> None:
        gone = self[index] if isinstance(index, slice) else [self[index]]
        super().__delitem__(index)
        self._let_go(gone)

    @_watched
    def pop(self, index: SupportsIndex = -1) -> EntityElement:
        item = super().pop(index)
        self._let_go([item])
        return item

    def remove(self, item: Any) -> None:
        del self[self.index(item)]

    def clear(self) -> None:
        del self[:]

    @_watched
    def become(self, items: Iterable[object]) -> None:
        """Hold these and no others, in this order."""
        before, after = [*self], list(items)
        self._let_go(before)
        try:
            taken = self._taken_in(after, at=0)
        except ValidationError:
            for entity in before:
                attach(entity, self._whose(), self._field)
            raise
        super().__setitem__(slice(None), taken)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[type[list[Any]], tuple[list[Any]]]:
        """Copied and pickled as a plain list; the owner makes its copy somebody's again."""
        return list, ([*self],)

    def _whose(self) -> StatefulElement:
        owner = self._owner()
        if owner is None:
            raise ValidationError(
                {self._field: ["the object that this list belongs to is gone; keep hold of that one, not of its list"]}
            )
        return owner

    def _taken_in(self, items: list[object], *, at: int) -> list[EntityElement]:
        owner = self._whose()
        taken: list[EntityElement] = []
        try:
            for position, item in enumerate(items, at):
                taken.append(self._one_taken_in(owner, item, position))
        except ValidationError:
            self._let_go(taken)
            raise
        return taken

    def _one_taken_in(self, owner: StatefulElement, item: object, position: int) -> EntityElement:
        complaint = complaint_about(owner, self._field, item)
        if isinstance(item, EntityElement) and complaint is None:
            link = link_of(item)
            if link.owner is not owner or link.field != self._field:
                attach(item, owner, self._field)
                return item
            complaint = f"{described(item)} is in the list already"
        raise ValidationError({self._field: [f"item {position}: {complaint}"]})

    def _let_go(self, entities: Iterable[EntityElement]) -> None:
        owner = self._owner()
        if owner is not None:
            for entity in entities:
                detach(entity, owner, self._field)


class Owning(StatefulElement):
    """What a class with associations adds: they are given to the constructor and assigned like other fields."""

    def __init__(self, /, **values: Any) -> None:
        complaints: dict[str, list[str]] = {}
        given: dict[str, Any] = {}
        for name, association in self.__protean__.associations.items():
            if name not in values:
                continue
            value = values.pop(name)
            try:
                if association.bond is Bond.REFERENCE:
                    values[identity_field(name)] = referred(name, association, value)
                else:
                    given[name] = _items(name, value) if association.bond is Bond.MANY else value
            except ValidationError as error:
                complaints |= error.messages
        try:
            construct(self, values, given)
        except ValidationError as error:
            raise ValidationError({**error.messages, **complaints}) from None
        if complaints:
            raise ValidationError(complaints)

    # As in `Element`: this constructor only validates.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # pydantic's own mark

    def model_post_init(self, context: Any, /) -> None:
        """Called by pydantic at the end of construction."""
        super().model_post_init(context)
        fill(self, context or {})

    def __setattr__(self, name: str, value: Any) -> None:
        association = self.__protean__.associations.get(name)
        if association is None:
            super().__setattr__(name, value)
        elif association.bond is Bond.REFERENCE:
            super().__setattr__(identity_field(name), referred(name, association, value))
        elif association.bond is Bond.MANY:
            self.__dict__[name].become(_items(name, value))
        else:
            _put(self, name, value)

    def __copy__(self) -> Any:
        """A shallow copy, but for its parts: an entity is part of one object."""
        copied = super().__copy__()
        fill(copied, {name: copy.deepcopy(self.__dict__[name]) for name, _ in held(type(self))})
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        copied = super().__deepcopy__(memo)
        fill(copied, copied.__dict__)
        return copied

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        fill(self, self.__dict__)


def held(cls: type[StatefulElement]) -> Iterator[tuple[str, Association]]:
    """The associations that hold entities."""
    for name, association in cls.__protean__.associations.items():
        if association.bond is not Bond.REFERENCE:
            yield name, association


def parts_in(element: StatefulElement, name: str) -> list[EntityElement]:
    """The entities in that field, one or many."""
    value = element.__dict__[name]
    if isinstance(value, EntityList):
        return value
    return [] if value is None else [value]


def fill(element: StatefulElement, parts: Mapping[str, Any]) -> None:
    """Make these the parts of the element, and all those not named empty."""
    with deferring(element):
        for name, association in held(type(element)):
            given = parts.get(name)
            if association.bond is Bond.MANY:
                mine = element.__dict__[name] = EntityList(element, name)
                mine.extend(given or ())
            else:
                element.__dict__[name] = None
                _put(element, name, given)


def refill_parts(element: StatefulElement, parts: Mapping[str, Any]) -> None:
    """Make these the parts of the element, in the lists that it has: somebody may have one in hand."""
    with deferring(element):
        for name, association in held(type(element)):
            if association.bond is Bond.MANY:
                element.__dict__[name].become(parts[name])
            else:
                _put(element, name, parts[name])


def rows_of_parts(element: StatefulElement, row_of: Callable[[EntityElement], Row]) -> dict[str, Any]:
    """The rows of all parts by field: a list of them, or one or None. Everything is checked once more.

    Raises ValidationError naming field, item and what is wrong with it.
    """
    rows: dict[str, Any] = {}
    for name, association in held(type(element)):
        found, seen = [], dict[object, int]()
        for position, part in enumerate(parts_in(element, name)):
            where = f"item {position}: " if association.bond is Bond.MANY else ""
            complaint = complaint_about(element, name, part)
            twice = seen.setdefault(None if complaint else identity_of(part), position)
            if complaint is None and twice != position:
                complaint = f"{described(part)} is there twice, as item {twice} too"
            if complaint is not None:
                raise ValidationError({name: [f"{where}{complaint}"]})
            try:
                found.append(row_of(part))
            except ValidationError as error:
                texts = [f"{where}{field}: {text}" for field, those in error.messages.items() for text in those]
                raise ValidationError({name: texts}) from None
        if association.required and not found and not is_replaying():
            raise ValidationError({name: ["is required"]})
        rows[name] = found if association.bond is Bond.MANY else next(iter(found), None)
    return rows


def parts_of_rows(
    cls: type[StatefulElement], row: Row, restored: Callable[[type[EntityElement], Row], EntityElement]
) -> dict[str, Any]:
    """The parts that an object's row describes, by field."""
    parts: dict[str, Any] = {}
    for name, association in held(cls):
        entity, found = entity_class(association), row.get(name)
        if association.bond is Bond.MANY:
            parts[name] = [restored(entity, each) for each in found or ()]
        else:
            parts[name] = None if found is None else restored(entity, found)
    return parts


def entity_class(association: Association) -> type[EntityElement]:
    """The class that it holds, once the registry has resolved it."""
    target = association.target
    if not isinstance(target, type) or not issubclass(target, EntityElement):
        raise TypeError(f"{association.bond}({association.target_name}) is not resolved")
    return target


def complaint_about(owner: StatefulElement, field: str, item: object) -> str | None:
    """Why the item cannot be in that field of `owner`; None if it can."""
    association = owner.__protean__.associations[field]
    if not isinstance(item, EntityElement) or not _is(type(item), association.target):
        return f"must be an instance of {association.target_name}, not {item!r:.50}"
    if any(above is item for above in upwards(owner)):
        return f"{described(item)} would become a part of itself"
    theirs = link_of(item).owner
    if theirs is None or theirs is owner or top_of(theirs) == top_of(owner):
        return None
    return f"{described(item)} is part of {described(top_of(theirs))}; remove it there first"


def identity_field(name: str) -> str:
    """The field in which a reference of that name keeps the identity."""
    return name if name.endswith("_id") else f"{name}_id"


def referred(name: str, association: Association, value: object) -> object:
    """The identity to keep for an aggregate. Raises ValidationError for anything else."""
    if value is None:
        return None
    if isinstance(value, AggregateElement) and _is(type(value), association.target):
        return identity_of(value)
    if name == identity_field(name) and not isinstance(value, StatefulElement):
        return value
    wanted = f"must be an instance of {association.target_name}, not {value!r:.50}"
    raise ValidationError({name: [f"{wanted}; an identity goes to `{identity_field(name)}`"]})


def _put(element: StatefulElement, name: str, value: object) -> None:
    before = element.__dict__[name]
    if value is before and value is not None:
        return
    if value is not None:
        complaint = complaint_about(element, name, value)
        if complaint is not None or not isinstance(value, EntityElement):
            raise ValidationError({name: [str(complaint)]})
        attach(value, element, name)
    if before is not None:
        detach(before, element, name)
    element.__dict__[name] = value


def _items(name: str, value: object) -> list[object]:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return list(value)
    raise ValidationError({name: [f"must be a list, not {value!r:.50}"]})


def _is(cls: type, target: type | str) -> bool:
    return cls.__name__ == target if isinstance(target, str) else cls is target
