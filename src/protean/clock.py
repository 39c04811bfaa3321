"""Where time comes from, in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present moment, timezone-aware, in UTC."""
    return _told_by[-1]()


def _machine() -> datetime:
    return datetime.now(UTC)


#: Who tells the time: the last one.
_told_by: list[Callable[[], datetime]] = [_machine]


@contextmanager
def told_by(tell: Callable[[], datetime]) -> Iterator[None]:
    """Let `tell` say what time it is inside the block, to the whole process: tests have time of their own."""
    _told_by.append(tell)
    try:
        yield
    finally:
        _told_by.remove(tell)
