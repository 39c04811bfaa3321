"""The durable retry schedule and the dead letters."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

from protean.adapters.sql import moments
from protean.adapters.sql.session import Session
from protean.clock import utc_now
from protean.ports.progress import Failure, FailureFilter, FailureState

_NAMES = [field.name for field in fields(Failure)]
_KEY = ("handler", "message_id")
_SELECT = f"SELECT {', '.join(_NAMES)} FROM failures"  # noqa: S608 -- the fields of Failure
_SAVE = f"""
INSERT INTO failures ({", ".join(_NAMES)}) VALUES ({", ".join(["%s"] * len(_NAMES))})
ON CONFLICT (handler, message_id)
DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _NAMES if name not in _KEY)}
"""  # noqa: S608 -- the fields of Failure

_DUE = " AND state = 'waiting' AND due_at <= %s ORDER BY due_at, handler, message_id LIMIT %s"
# Locked rows belong to another claim, which is about to move their due time.
_SKIP_LOCKED = " FOR UPDATE SKIP LOCKED"
_LEASE = "UPDATE failures SET attempts = attempts + 1, due_at = %s WHERE handler = %s AND message_id = %s"
_NEWEST_FIRST = " ORDER BY last_failed_at DESC, handler, message_id LIMIT %s OFFSET %s"
_REMOVE = "DELETE FROM failures WHERE handler = %s AND message_id = %s"
_RELEASE = "UPDATE failures SET state = 'waiting', attempts = 0, due_at = %s"


class SqlFailures:
    """`Failures` in SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def save(self, failure: Failure) -> None:
        self._session.counts([(_SAVE, [_into(getattr(failure, name)) for name in _NAMES])])

    def claim(self, which: FailureFilter, limit: int, lease_seconds: float) -> list[Failure]:
        now = utc_now()
        matching, values = _where(which)
        locking = _SKIP_LOCKED if self._session.postgresql else ""
        due = self._session.fetch(f"{_SELECT} WHERE {matching}{_DUE}{locking}", (*values, moments.to_text(now), limit))
        leased_until = now + timedelta(seconds=lease_seconds)
        claimed = [
            replace(failure, attempts=failure.attempts + 1, due_at=leased_until) for failure in map(_failure, due)
        ]
        if claimed:
            until = moments.to_text(leased_until)
            self._session.counts([(_LEASE, (until, failure.handler, failure.message_id)) for failure in claimed])
        return claimed

    def find(self, which: FailureFilter, limit: int, offset: int = 0) -> list[Failure]:
        matching, values = _where(which)
        rows = self._session.fetch(f"{_SELECT} WHERE {matching}{_NEWEST_FIRST}", (*values, limit, offset))
        return [_failure(row) for row in rows]

    def count(self, which: FailureFilter) -> int:
        matching, values = _where(which)
        sql = f"SELECT count(*) FROM failures WHERE {matching}"  # noqa: S608 -- names of FailureFilter's fields
        return int(self._session.fetch(sql, values)[0][0])

    def remove(self, handler: str, message_id: str) -> bool:
        return self._session.counts([(_REMOVE, (handler, message_id))]) == [1]

    def release(self, which: FailureFilter) -> int:
        matching, values = _where(which)
        sql = f"{_RELEASE} WHERE state = 'dead' AND {matching}"
        return self._session.counts([(sql, (moments.to_text(utc_now()), *values))])[0]


def _where(which: FailureFilter) -> tuple[str, list[Any]]:
    """The filter as SQL and its values."""
    terms: list[str] = ["true"]
    values: list[Any] = []
    for name in ("lane", "state", "stream", "stream_name", "message_id"):
        if (value := getattr(which, name)) is not None:
            terms.append(f"{name} = %s")
            values.append(_into(value))
    if which.handlers is not None:
        terms.append(f"handler IN ({', '.join(['%s'] * len(which.handlers))})" if which.handlers else "false")
        values += which.handlers
    return " AND ".join(terms), values


def _into(value: object) -> object:
    if isinstance(value, datetime):
        return moments.to_text(value)
    if isinstance(value, FailureState):
        return value.value
    # An error's text may hold anything; a NUL or half a character would make its own record fail.
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    return value


def _failure(row: tuple[Any, ...]) -> Failure:
    values = dict(zip(_NAMES, row, strict=True))
    values["state"] = FailureState(values["state"])
    for name in ("due_at", "first_failed_at", "last_failed_at"):
        values[name] = moments.from_column(values[name])
    return Failure(**values)
