"""How urgent the work in hand is, and how that travels.

A priority is an explicit argument, else the surrounding context's, else NORMAL. It rides on the
command, its events and their outbox rows; the engine puts it in force again around every handler,
so that what a LOW event causes is LOW too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum


class Priority(IntEnum):
    """Named steps on the scale; any integer between them is a priority as well."""

    BULK = -100
    LOW = -50
    NORMAL = 0
    HIGH = 50
    CRITICAL = 100


#: The blocks around the running code, outermost first: each its priority, and what tells it from all others.
_blocks: ContextVar[tuple[tuple[int, object], ...]] = ContextVar("protean_priority", default=())


def current_priority() -> int:
    """The priority in force here; `Priority.NORMAL` outside every context."""
    blocks = _blocks.get()
    return blocks[-1][0] if blocks else Priority.NORMAL


@contextmanager
def processing_priority(priority: int) -> Iterator[None]:
    """Process everything inside the block at `priority`. Nests; restored on exit, also on error.

    An asyncio task begun inside goes on at that priority; a thread does only in a context copied on purpose. Leaving
    the block ends what generators inside have set; one that is closed later changes nothing any more.
    """
    block = (checked(priority), object())
    _blocks.set((*_blocks.get(), block))
    try:
        yield
    finally:
        # Not by a token, which would bring back what was in force when a generator began, in whatever is at work
        # when that is closed; and which fails in another context.
        now = _blocks.get()
        if block in now:
            _blocks.set(now[: now.index(block)])


def checked(priority: int) -> int:
    """`priority` itself, when it is an integer between BULK and CRITICAL.

    Raises TypeError or ValueError naming the value otherwise.
    """
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise TypeError(f"priority must be an integer such as Priority.LOW, not {priority!r}")
    if not Priority.BULK <= priority <= Priority.CRITICAL:
        raise ValueError(
            f"priority {priority} is outside {Priority.BULK:d}..{Priority.CRITICAL:d}; "
            "use Priority.BULK, LOW, NORMAL, HIGH or CRITICAL"
        )
    return priority
