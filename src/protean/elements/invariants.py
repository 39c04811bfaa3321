"""Invariants: what must hold of an aggregate, an entity or a value object, whatever is done to it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, NoReturn, TypeVar

from pydantic_core import PydanticCustomError

from protean.elements.complaints import BROKEN, WHOLE
from protean.elements.replaying import is_replaying
from protean.exceptions import ConfigurationError, InvalidOperationError, ValidationError

F = TypeVar("F", bound=Callable[..., Any])

_MARK: Final = "__protean_invariant__"
_PRE, _POST = "pre", "post"

#: A rule with the name of its method.
Rule = tuple[str, Callable[[Any], object]]


class Rules(NamedTuple):
    """The invariants of a class: those looked at before a change, and those after it and after construction."""

    pre: tuple[Rule, ...] = ()
    post: tuple[Rule, ...] = ()


class _Invariant:
    """`@invariant.post` marks a method that raises (or returns) an error when something does not hold.

    A ValidationError has its messages under fields, a ValueError goes under `_entity`. What several of them say is
    reported together.
    """

    def pre(self, method: F, /) -> F:
        """Looked at before each change: whether the object, as it is, may be changed at all."""
        return _marked(method, _PRE)

    def post(self, method: F, /) -> F:
        """Looked at after construction and after each change, which is undone when it does not hold."""
        return _marked(method, _POST)

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise ConfigurationError(
            "write @invariant.post for what must hold after every change, @invariant.pre for what must hold before one"
        )


invariant = _Invariant()


def rules_of(cls: type) -> Rules:
    """The invariants of a class as written, also inherited ones. Raises ConfigurationError for one that is not run."""
    functions: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        functions.update(vars(base))
    found: dict[str, list[Rule]] = {_PRE: [], _POST: []}
    for name, function in functions.items():
        when = getattr(function, _MARK, None)
        if when is not None:
            if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
                raise ConfigurationError(f"the invariant `{name}` of {cls.__name__} must be plain code, that raises")
            found[when].append((name, function))
    return Rules(tuple(found[_PRE]), tuple(found[_POST]))


def broken(element: object, rules: Sequence[Rule]) -> dict[str, list[str]]:
    """What does not hold, by field. Raises InvalidOperationError for a rule that answers otherwise than by an error."""
    messages: dict[str, list[str]] = {}
    for name, rule in rules:
        try:
            answer = rule(element)
        except (ValidationError, ValueError, AssertionError) as error:
            answer = error
        if answer is None:
            continue
        for field, texts in _messages(type(element).__name__, name, answer).items():
            messages.setdefault(field, []).extend(texts)
    return messages


def refuse_construction(element: object, rules: Sequence[Rule]) -> None:
    """Tell pydantic, which is constructing the element, what does not hold of it."""
    messages = broken(element, rules)
    if messages:
        raise PydanticCustomError(BROKEN, "does not hold", {"messages": messages})


class Sound:
    """What a value object's class with invariants adds: none is made of which they do not hold."""

    __slots__ = ()
    __rules__: ClassVar[Rules] = Rules()

    def model_post_init(self, _context: Any, /) -> None:
        """Called by pydantic at the end of construction."""
        if not is_replaying():
            refuse_construction(self, self.__rules__.post)


def _marked(method: F, when: str) -> F:
    if not inspect.isfunction(method):
        raise ConfigurationError(f"@invariant.{when} marks a method, not {method!r:.80}")
    setattr(method, _MARK, when)
    return method


def _messages(owner: str, rule: str, answer: object) -> Mapping[str, Sequence[str]]:
    if isinstance(answer, ValidationError):
        return answer.messages
    if isinstance(answer, ValueError | AssertionError):
        return {WHOLE: [str(answer) or f"`{rule}` does not hold"]}
    raise InvalidOperationError(
        f"the invariant `{rule}` of {owner} returned {answer!r:.50}; let it raise ValidationError or ValueError when "
        "something does not hold, and return nothing otherwise"
    )
