"""What the running code may not change, because it only answers a question, or repeats history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from protean.exceptions import InvalidOperationError


@dataclass(frozen=True, slots=True)
class Restriction:
    """`why` ends the sentence of the error, and says what to do instead. Objects of `changing` may be changed."""

    why: str
    changing: frozenset[type] = frozenset()


_restriction: ContextVar[Restriction | None] = ContextVar("protean_restriction", default=None)


@contextmanager
def restricted(restriction: Restriction) -> Iterator[None]:
    """Inside the block, and in what it calls, nothing is changed but what the restriction leaves."""
    token = _restriction.set(restriction)
    try:
        yield
    finally:
        _restriction.reset(token)


def refuse_to_change(cls: type) -> None:
    """Raise InvalidOperationError where objects of that class may not be changed."""
    restriction = _restriction.get()
    if restriction is not None and cls not in restriction.changing:
        raise InvalidOperationError(f"{cls.__name__} cannot be changed here: {restriction.why}")


def refuse_to_cause(what: str) -> None:
    """Raise InvalidOperationError where nothing may be set off; `what` begins the sentence."""
    restriction = _restriction.get()
    if restriction is not None:
        raise InvalidOperationError(f"{what} here: {restriction.why}")
