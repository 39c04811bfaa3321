"""Time that passes when a test says so: for retries, timeouts, and whatever else is due some day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from protean.clock import told_by, utc_now
from protean.exceptions import InvalidOperationError


class Clock:
    """Stands still until it is moved. It begins at `at`, by default now.

    It is what `protean.clock.utc_now` says in its `stopped_clock`; `datetime.now` goes on as ever.
    """

    def __init__(self, at: datetime | None = None) -> None:
        self._now = utc_now() if at is None else _in_utc(at)

    @property
    def now(self) -> datetime:
        """The moment it shows, in UTC."""
        return self._now

    def advance(
        self,
        by: timedelta = timedelta(),
        /,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> datetime:
        """Let that much time pass; the moment it is then. Raises InvalidOperationError for less than none."""
        passed = by + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if passed < timedelta():
            raise InvalidOperationError(f"time passes forwards, and {passed} is less than none; use set() to go back")
        self._now += passed
        return self._now

    def set(self, moment: datetime) -> datetime:
        """Show that moment, be it earlier: machines are set, too. It must have a time zone."""
        self._now = _in_utc(moment)
        return self._now

    def __repr__(self) -> str:
        return f"<Clock at {self._now.isoformat()}>"


@contextmanager
def stopped_clock(at: datetime | None = None) -> Iterator[Clock]:
    """Inside the block, time is what the clock shows: `with stopped_clock() as clock: … clock.advance(hours=1)`.

    For the whole process; blocks may be nested, the innermost counts.
    """
    clock = Clock(at)
    with told_by(lambda: clock.now):
        yield clock


def _in_utc(moment: datetime) -> datetime:
    given: object = moment
    if not isinstance(given, datetime) or given.utcoffset() is None:
        raise InvalidOperationError(f"a clock shows a datetime with a time zone, not {moment!r:.80}")
    return moment.astimezone(UTC)
