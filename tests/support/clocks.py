"""A machine whose clock is set while it works."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

import pytest

HOUR = timedelta(hours=1)


class SetClock:
    """Takes the place of `datetime` in `protean.clock`: the machine's time, and so much more or less."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self, zone: tzinfo) -> datetime:
        return datetime.now(zone) + self.ahead


def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """A clock that shows the right time until it is told otherwise."""
    clock = SetClock()
    monkeypatch.setattr("protean.clock.datetime", clock)
    return clock
