"""The durable retry schedule and the dead letters."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

from protean.adapters.sql import moments
from protean.adapters.sql.session import Session
from protean.clock import utc_now
from protean.ports.progress import Failure, FailureFilter, FailureKey, FailureState, FailureTally

_NAMES = [field.name for field in fields(Failure)]
_KEY = ("handler", "message_id")
_SELECT = f"SELECT {', '.join(_NAMES)} FROM failures"  # noqa: S608 -- the fields of Failure
_SAVE = f"""
INSERT INTO failures ({", ".join(_NAMES)}) VALUES ({", ".join(["%s"] * len(_NAMES))})
ON CONFLICT (handler, message_id)
DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _NAMES if name not in _KEY)}
"""  # noqa: S608 -- the fields of Failure

_DUE = " AND state = 'waiting' AND due_at <= %s ORDER BY due_at, handler, message_id LIMIT %s"
# Locked rows belong to somebody who is about to change them.
_SKIP_LOCKED = " FOR UPDATE SKIP LOCKED"
_LEASE = "UPDATE failures SET attempts = attempts + 1, due_at = %s WHERE handler = %s AND message_id = %s"
# The same in one statement: ten thousand retries after an outage are ten thousand claims.
_CLAIM_POSTGRESQL = f"""
WITH due AS (
    SELECT handler, message_id, due_at FROM failures
    WHERE {{}} AND state = 'waiting' AND due_at <= %s
    ORDER BY due_at, handler, message_id LIMIT %s FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE failures SET attempts = attempts + 1, due_at = %s
    FROM due WHERE failures.handler = due.handler AND failures.message_id = due.message_id
    RETURNING {", ".join(f"failures.{name}" for name in _NAMES)}, due.due_at AS was_due
)
SELECT {", ".join(_NAMES)} FROM claimed ORDER BY was_due, handler, message_id
"""  # noqa: S608 -- the fields of Failure
# Only while nobody has claimed it since: every claim counts.
_GIVE_BACK = """
UPDATE failures SET attempts = attempts - 1, due_at = %s
WHERE handler = %s AND message_id = %s AND state = 'waiting' AND attempts = %s
"""
_FORGIVE = """
UPDATE failures SET attempts = attempts - 1 WHERE handler = %s AND message_id IN (
    SELECT message_id FROM failures WHERE handler = %s AND message_id IN ({}) AND state = 'waiting' AND attempts > 0{}
)
"""
# By key, never by OFFSET: a page costs the same wherever it is, and what is settled meanwhile shifts nothing.
_AFTER = " AND (last_failed_at, handler, message_id) < (%s, %s, %s)"
_NEWEST_FIRST = " ORDER BY last_failed_at DESC, handler DESC, message_id DESC LIMIT %s"
_TALLY = """
SELECT handler, stream, state, error_type, error, count(*), min(first_failed_at), max(last_failed_at)
FROM failures WHERE {} GROUP BY handler, stream, state, error_type, error ORDER BY count(*) DESC, handler, error
"""
_DISCARDED_POSTGRESQL = """
SELECT message_id FROM failures
WHERE handler = %s AND message_id = ANY(%s::text[]) AND discarded_by IS NOT NULL
"""
_DISCARDED_SQLITE = """
SELECT message_id FROM failures
WHERE handler = %s AND message_id IN (SELECT value FROM json_each(%s)) AND discarded_by IS NOT NULL
"""
_REMOVE = "DELETE FROM failures WHERE handler = %s AND message_id = %s"
_PRUNE = """
DELETE FROM failures WHERE (handler, message_id) IN (SELECT handler, message_id FROM failures WHERE {} LIMIT %s)
"""
_RELEASE = """
UPDATE failures SET state = 'waiting', attempts = 0,
    due_at = CASE WHEN first_failed_at < %s THEN first_failed_at ELSE %s END
WHERE state = 'dead' AND {}
"""
_DISCARD = """
UPDATE failures SET state = %s, due_at = %s, discarded_by = %s, discard_reason = %s WHERE state = 'dead' AND {}
"""


class SqlFailures:
    """`Failures` in SQL."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def save(self, failure: Failure) -> None:
        self._session.counts([(_SAVE, [_into(getattr(failure, name)) for name in _NAMES])])

    def claim(self, which: FailureFilter, limit: int, lease_seconds: float) -> list[Failure]:
        now = utc_now()
        leased_until = now + timedelta(seconds=lease_seconds)
        matching, values = _where(which)
        given = (*values, moments.to_text(now), limit)
        if self._session.postgresql:
            sql = _CLAIM_POSTGRESQL.format(matching)
            return [_failure(row) for row in self._session.fetch(sql, (*given, moments.to_text(leased_until)))]
        due = self._session.fetch(f"{_SELECT} WHERE {matching}{_DUE}", given)
        claimed = [
            replace(failure, attempts=failure.attempts + 1, due_at=leased_until) for failure in map(_failure, due)
        ]
        if claimed:
            until = moments.to_text(leased_until)
            self._session.counts([(_LEASE, (until, failure.handler, failure.message_id)) for failure in claimed])
        return claimed

    def give_back(self, claimed: Failure, due_at: datetime) -> bool:
        values = (moments.to_text(due_at), claimed.handler, claimed.message_id, claimed.attempts)
        return self._session.counts([(_GIVE_BACK, values)]) == [1]

    def forgive(self, handler: str, message_ids: Collection[str]) -> int:
        if not message_ids:
            return 0
        locking = _SKIP_LOCKED if self._session.postgresql else ""
        sql = _FORGIVE.format(", ".join(["%s"] * len(message_ids)), locking)
        return self._session.counts([(sql, (handler, handler, *message_ids))])[0]

    def find(self, which: FailureFilter, limit: int, after: FailureKey | None = None) -> list[Failure]:
        matching, values = _where(which)
        if after is not None:
            matching += _AFTER
            values += map(_into, after)
        rows = self._session.fetch(f"{_SELECT} WHERE {matching}{_NEWEST_FIRST}", (*values, limit))
        return [_failure(row) for row in rows]

    def count(self, which: FailureFilter) -> int:
        matching, values = _where(which)
        sql = f"SELECT count(*) FROM failures WHERE {matching}"  # noqa: S608 -- names of FailureFilter's fields
        return int(self._session.fetch(sql, values)[0][0])

    def tally(self, which: FailureFilter) -> list[FailureTally]:
        matching, values = _where(which)
        return [_tally(row) for row in self._session.fetch(_TALLY.format(matching), values)]

    def discarded(self, handler: str, message_ids: Sequence[str]) -> set[str]:
        if self._session.postgresql:
            rows = self._session.fetch(_DISCARDED_POSTGRESQL, (handler, list(message_ids)))
        else:
            rows = self._session.fetch(_DISCARDED_SQLITE, (handler, json.dumps(list(message_ids))))
        return {message_id for (message_id,) in rows}

    def remove(self, handler: str, message_id: str) -> bool:
        return self._session.counts([(_REMOVE, (handler, message_id))]) == [1]

    def prune(self, which: FailureFilter, limit: int) -> int:
        matching, values = _where(which)
        return self._session.counts([(_PRUNE.format(matching), (*values, limit))])[0]

    def release(self, which: FailureFilter) -> int:
        matching, values = _where(which)
        now = moments.to_text(utc_now())
        return self._session.counts([(_RELEASE.format(matching), (now, now, *values))])[0]

    def discard(self, which: FailureFilter, state: FailureState, *, by: str, reason: str) -> int:
        matching, values = _where(which)
        given = (state.value, moments.to_text(utc_now()), _into(by), _into(reason))
        return self._session.counts([(_DISCARD.format(matching), (*given, *values))])[0]


def _where(which: FailureFilter) -> tuple[str, list[Any]]:
    """The filter as SQL and its values."""
    terms: list[str] = ["true"]
    values: list[Any] = []
    for name in ("lane", "state", "stream", "stream_name", "message_id", "error_type", "attempts"):
        if (value := getattr(which, name)) is not None:
            terms.append(f"{name} = %s")
            values.append(_into(value))
    for column, several in (("handler", which.handlers), ("message_id", which.message_ids)):
        if several is not None:
            terms.append(f"{column} IN ({', '.join(['%s'] * len(several))})" if several else "false")
            values += several
    for column, moment in (("last_failed_at", which.failed_before), ("due_at", which.due_before)):
        if moment is not None:
            terms.append(f"{column} < %s")
            values.append(_into(moment))
    if which.message_prefix is not None:
        terms.append("substr(message_id, 1, %s) = %s")
        values += [len(which.message_prefix), _into(which.message_prefix)]
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


def _tally(row: tuple[Any, ...]) -> FailureTally:
    handler, stream, state, error_type, error, count, first, last = row
    moment = moments.from_column
    return FailureTally(handler, stream, FailureState(state), error_type, error, count, moment(first), moment(last))
