"""Guarding what must hold while an object changes: invariants and moves, for it and for what it is part of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from protean.elements.deferral import deferring, is_deferred
from protean.elements.element import StatefulElement
from protean.elements.entity import upwards
from protean.elements.invariants import Rules, broken, refuse_construction
from protean.elements.replaying import is_replaying
from protean.elements.snapshots import Snapshot, parts_below
from protean.elements.transitions import Transitions, check_move
from protean.exceptions import InvalidOperationError, ValidationError

#: Where an event-sourced aggregate notes, among what it carries beside its fields, that an @apply method is running:
#: for an event that is raised now, or once again, at a replay.
APPLYING: Final = "_applying"
NOW, AGAIN = "now", "again"
#: Where an object notes that they are being looked at.
_LOOKING: Final = "_looking"


class Guarded(StatefulElement):
    """What a class with invariants or moves adds, and every entity: its root may have some."""

    __rules__: ClassVar[Rules] = Rules()
    __moves__: ClassVar[dict[str, Transitions]] = {}

    def model_post_init(self, context: Any, /) -> None:
        """Called by pydantic at the end of construction."""
        super().model_post_init(context)
        if self.__rules__.post and not is_replaying():
            with _looking(self):
                refuse_construction(self, self.__rules__.post)

    def __setattr__(self, name: str, value: Any) -> None:
        info = self.__protean__
        applying = next((how for each in upwards(self) if (how := _private(each).get(APPLYING))), None)
        if applying == AGAIN:
            self._set_again(name, value)
            return
        if name not in info.fields and name not in info.associations:
            super().__setattr__(name, value)
            return
        moves = self.__moves__.get(name)
        watching = _watching(self)
        if moves is None and not watching:
            super().__setattr__(name, value)
            return
        undo = Snapshot(self).restore if name in info.associations else _undo_of(self, name)
        _check(watching, before=True)
        before = self.__dict__.get(name)
        super().__setattr__(name, value)
        try:
            if moves is not None:
                check_move(name, moves, before, self.__dict__[name])
            _check(watching)
        except BaseException:
            undo()
            raise

    def _set_again(self, name: str, value: Any) -> None:
        """History stands, whatever the rules are by now."""
        try:
            super().__setattr__(name, value)
        except ValidationError:
            if name not in self.__protean__.fields or name == self.__protean__.identity:
                raise
            self.__dict__[name] = value


@contextmanager
def atomic_change(element: object) -> Iterator[None]:
    """Change an aggregate or an entity in several steps: its invariants, and its parts', are looked at only at the end.

    When they do not hold then, or the block raises, everything is as it was before, events raised included. Inside
    another one for the same object, they wait for the end of that one. Moves are checked step by step.

    Raises ValidationError with what does not hold.
    """
    if not isinstance(element, StatefulElement):
        raise InvalidOperationError(f"atomic_change takes an aggregate or an entity, not {element!r:.80}")
    if not _deferred(element):
        _check(_guards(element), before=True)
    snapshot = Snapshot(element)
    try:
        with deferring(element):
            yield
        if not _deferred(element):
            _check(_guards(element))
    except BaseException:
        snapshot.restore()
        raise


@contextmanager
def changing(element: StatefulElement) -> Iterator[None]:
    """Look at the invariants before and after the block. Undoing is the caller's."""
    watching = _watching(element)
    _check(watching, before=True)
    yield
    _check(watching)


def is_watched(element: StatefulElement) -> bool:
    """Whether anybody looks at invariants when the element changes here and now."""
    return bool(_watching(element))


def check_saved(element: StatefulElement) -> None:
    """Look once more at an object about to be saved: what was done inside of its lists and dicts nobody saw.

    Raises ValidationError with what does not hold.
    """
    if isinstance(element, Guarded) or element.__protean__.associations:
        _check(_guards(element))


def _watching(element: StatefulElement) -> Collection[Guarded]:
    """Those whose invariants a change of the element may break.

    None inside of an `atomic_change`, nor of an @apply method: there, it is the whole that is looked at.
    """
    above = list(upwards(element))
    for each in above:
        private = _private(each)
        if _LOOKING in private:
            raise InvalidOperationError(
                f"an invariant of {type(each).__name__} changes it: invariants look and complain; change it in a method"
            )
        if is_deferred(each) or private.get(APPLYING):
            return ()
    return [each for each in above if isinstance(each, Guarded) and each.__rules__ != Rules()]


def _deferred(element: StatefulElement) -> bool:
    """Whether a block around puts off the invariants of the element, or of what it is part of."""
    return any(is_deferred(each) for each in upwards(element))


def _guards(element: StatefulElement) -> Collection[Guarded]:
    """The element, its parts and theirs, and what it is part of: those that have invariants."""
    everyone = [*parts_below(element), *upwards(element)]
    return [each for each in everyone if isinstance(each, Guarded) and each.__rules__ != Rules()]


def _check(elements: Collection[Guarded], *, before: bool = False) -> None:
    messages: dict[str, list[str]] = {}
    for element in elements:
        rules = element.__rules__.pre if before else element.__rules__.post
        if rules:
            with _looking(element):
                for field, texts in broken(element, rules).items():
                    messages.setdefault(field, []).extend(texts)
    if messages:
        raise ValidationError(messages)


def _undo_of(element: StatefulElement, name: str) -> Callable[[], None]:
    value, was_given = element.__dict__.get(name), name in element.__pydantic_fields_set__

    def undo() -> None:
        element.__dict__[name] = value
        if not was_given:
            element.__pydantic_fields_set__.discard(name)

    return undo


@contextmanager
def _looking(element: StatefulElement) -> Iterator[None]:
    private = _private(element)
    private[_LOOKING] = True
    try:
        yield
    finally:
        private.pop(_LOOKING, None)


def _private(element: StatefulElement) -> dict[str, Any]:
    """Its `history`."""
    private: dict[str, Any] | None = element.__pydantic_private__
    return {} if private is None else private
