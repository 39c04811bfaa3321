"""Moments as PostgreSQL and SQLite keep them."""

from __future__ import annotations

from datetime import datetime

from protean.adapters.values import utc


def to_text(moment: datetime) -> str:
    """UTC, of one width, so that comparing texts compares moments; PostgreSQL reads it as a timestamptz."""
    return utc(moment).isoformat(timespec="microseconds")


def from_column(value: datetime | str) -> datetime:
    """A moment as PostgreSQL's driver or SQLite's gives it."""
    return utc(datetime.fromisoformat(value) if isinstance(value, str) else value)
