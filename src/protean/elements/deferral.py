"""Putting off the invariants of an object: while it is changed in several steps, or put back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from protean.elements.element import StatefulElement

#: Where an object notes, among what it carries beside its fields, how many blocks around put its invariants off.
_DEFERRED: Final = "_deferred"


@contextmanager
def deferring(element: StatefulElement) -> Iterator[None]:
    """Inside the block nobody looks at the invariants of the element and of what it is part of."""
    private = _private(element)
    private[_DEFERRED] = private.get(_DEFERRED, 0) + 1
    try:
        yield
    finally:
        private[_DEFERRED] -= 1
        if not private[_DEFERRED]:
            del private[_DEFERRED]


def is_deferred(element: StatefulElement) -> bool:
    """Whether such a block is around for this very element."""
    return _DEFERRED in _private(element)


def _private(element: StatefulElement) -> dict[str, Any]:
    """Its `history`."""
    private: dict[str, Any] | None = element.__pydantic_private__
    return {} if private is None else private
