"""Event-sourced aggregates: their state is what their events make of it, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar

import pydantic
from pydantic_core import PydanticUndefined

from protean.elements.aggregate import AggregateElement, raisable
from protean.elements.associations import fill
from protean.elements.element import StatefulElement, history, identity_of
from protean.elements.event import EventElement
from protean.elements.guarding import AGAIN, APPLYING, NOW, changing
from protean.elements.handlers import Method
from protean.elements.replaying import replaying
from protean.elements.snapshots import Snapshot
from protean.exceptions import InvalidOperationError

_set = object.__setattr__

#: Where one from the past notes which moment of it it shows.
_SHOWS: Final = "_shows"
#: Where it notes the position of the snapshot that it was loaded from.
_SNAPSHOT: Final = "_snapshot"


class EventSourcedElement(AggregateElement):
    """An aggregate whose fields are set by its `@apply` methods, when an event is raised and when it is replayed."""

    #: The method for each event, by the event's name.
    __applied_by__: ClassVar[Mapping[str, Method]] = {}

    def raise_(self, event: object) -> None:
        """Record what happened, and apply it at once.

        Raises InvalidOperationError for anything but an event of this aggregate, and what its @apply method raises;
        then nothing has happened.
        """
        check_present(self, f"raise {type(event).__name__}")
        fact = raisable(self, event)
        if _private(self).get(APPLYING):
            raise InvalidOperationError(
                f"{type(self).__name__} raises {type(fact).__name__} while it applies another event; an @apply method "
                "sets fields and does nothing else, for it runs at every replay: raise in the method that decides"
            )
        before = Snapshot(self)
        try:
            with changing(self):
                _apply(self, fact, NOW)
        except BaseException:
            before.restore()
            raise
        _private(self)["_events"].append(fact)

    def __setattr__(self, name: str, value: Any) -> None:
        info = self.__protean__
        if name == info.identity and str(value) == str(identity_of(self)):
            return  # as its first event says, too
        how = _private(self).get(APPLYING)
        if name not in info.fields or how == NOW:
            super().__setattr__(name, value)
            return
        if how is None:
            check_present(self, f"have {name} set")
            raise InvalidOperationError(
                f"{info.name}.{name} cannot be set to {value!r:.50} here: {info.name} is event sourced, and what no "
                "event says would be gone when it is loaded again; raise_ an event, and set the field in its @apply "
                "method"
            )
        self._set_standing(name, value)

    def _set_standing(self, name: str, value: Any) -> None:
        """Set a field at a replay. History stands: rules may have become stricter since, and invariants too."""
        try:
            self.__pydantic_validator__.validate_assignment(self, name, value)
        except pydantic.ValidationError:
            if name == self.__protean__.identity:
                raise
            self.__dict__[name] = value


E = TypeVar("E", bound=StatefulElement)


def blank(cls: type[E], identity: str | int) -> E:
    """The aggregate before its first event: its identity and its defaults, None where there is none."""
    element = cls.__new__(cls)
    _set(element, "__dict__", dict.fromkeys(cls.__protean__.fields))
    _set(element, "__pydantic_fields_set__", set())
    _set(element, "__pydantic_extra__", None)
    _set(element, "__pydantic_private__", history())
    for name, field in cls.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        if name == cls.__protean__.identity:
            element.__dict__[name] = identity
        elif default is not PydanticUndefined and default is not None:
            element.__pydantic_validator__.validate_assignment(element, name, default)
    fill(element, {})
    return element


def replay(aggregate: EventSourcedElement, event: EventElement) -> None:
    """Do again what the event did when it was raised. Raises what its @apply method raises."""
    with replaying():
        _apply(aggregate, event, AGAIN)


def show_as(aggregate: EventSourcedElement, moment: str) -> None:
    """Let it be looked at and not changed: it is as it was at `moment`, `version 3` for one."""
    _private(aggregate)[_SHOWS] = moment


def check_present(element: StatefulElement, deed: str) -> None:
    """Raise InvalidOperationError if it shows the past and is to `deed`, `be saved` for one."""
    shows = (element.__pydantic_private__ or {}).get(_SHOWS)
    if shows is not None:
        raise InvalidOperationError(
            f"this {type(element).__name__} shows the past ({shows}) and cannot {deed}; get it without at_version and "
            "as_of to change it"
        )


def snapshot_of(aggregate: EventSourcedElement) -> int:
    """The position of the snapshot that it was loaded from, or saved with since; -1 for none."""
    position: int = _private(aggregate).get(_SNAPSHOT, -1)
    return position


def set_snapshot(aggregate: EventSourcedElement, position: int) -> None:
    """Note the position of the latest snapshot."""
    _private(aggregate)[_SNAPSHOT] = position


def _apply(aggregate: EventSourcedElement, event: EventElement, how: str) -> None:
    method = aggregate.__applied_by__.get(type(event).__name__)
    if method is None:
        name = type(aggregate).__name__
        raise InvalidOperationError(
            f"{name} has no @apply method for {type(event).__name__}, so that it would change nothing; write one: "
            f"`@apply def …(self, event: {type(event).__name__})`, if only with `pass`"
        )
    private = _private(aggregate)
    private[APPLYING] = how
    try:
        method(aggregate, event)
    finally:
        private[APPLYING] = None


def _private(aggregate: EventSourcedElement) -> dict[str, Any]:
    """Its `history`."""
    private: dict[str, Any] | None = aggregate.__pydantic_private__
    return {} if private is None else private
