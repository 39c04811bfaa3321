"""Errors as problems of RFC 9457: which status, and what of it strangers are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from protean.exceptions import (
    BrokerUnavailableError,
    DatabaseUnavailableError,
    DuplicateCommandError,
    ExpectedVersionError,
    InvalidOperationError,
    NotSupportedError,
    ObjectNotFoundError,
    OverloadedError,
    TransientDatabaseError,
    ValidationError,
)

MEDIA_TYPE = "application/problem+json"
#: What `type` begins with: a name, until a page that explains it is given.
TYPE_BASE = "urn:problem-type:protean:"
#: Seconds after which a client may try again: when others were faster, and when a server is away.
SOON, LATER = 1, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`name` ends its `type`; None where the status says it all. `errors` are fields, None for no single one, with
    what is wrong with each. `retry_after` is in seconds.
    """

    status: int
    name: str | None = None
    title: str = ""
    detail: str | None = None
    errors: tuple[tuple[str | None, str], ...] = ()
    retry_after: int | None = None

    def as_plain(self, type_base: str, correlation_id: str | None) -> dict[str, Any]:
        """For JSON."""
        plain: dict[str, Any] = {
            "type": "about:blank" if self.name is None else f"{type_base}{self.name}",
            "title": self.title or _phrase(self.status),
            "status": self.status,
        }
        if self.detail is not None:
            plain["detail"] = self.detail
        if self.errors:
            plain["errors"] = [{"field": name, "detail": text} for name, text in self.errors]
        if correlation_id is not None:
            plain["correlation_id"] = correlation_id
        return plain


INVALID = Problem(
    status=422, name="invalid", title="The request is not valid", detail="`errors` says what is wrong with which field"
)
UNEXPECTED = Problem(status=500)

#: Errors of the domain. Their own texts stay here: they are for operators, and may quote what is nobody else's.
_KNOWN: Mapping[type[Exception], Problem] = {
    ValidationError: INVALID,
    ObjectNotFoundError: Problem(
        status=404, name="not-found", title="Not found", detail="something that the request names does not exist"
    ),
    ExpectedVersionError: Problem(
        status=409,
        name="version-conflict",
        title="Changed by somebody else",
        detail="it was changed at the same moment, and nothing of this request was saved; look at it and try again",
    ),
    DuplicateCommandError: Problem(
        status=409,
        name="idempotency-key-in-use",
        title="The idempotency key is in use",
        detail="the key belongs to another request; a new request needs a new key",
    ),
    InvalidOperationError: Problem(
        status=409,
        name="invalid-operation",
        title="Not possible now",
        detail="the request makes no sense in the state that things are in; nothing of it was saved",
    ),
    NotSupportedError: Problem(
        status=501,
        name="not-supported",
        title="Not supported",
        detail="this server cannot do what the request asks for",
    ),
    OverloadedError: Problem(
        status=503,
        name="overloaded",
        title="Too much at once",
        detail="too many requests wait already, and nothing of this one was done; try again in a moment",
        retry_after=SOON,
    ),
    TransientDatabaseError: Problem(
        status=503,
        name="busy",
        title="Too much at once",
        detail="others were at the same data all the time, and nothing of this request was saved; try again",
        retry_after=SOON,
    ),
    DatabaseUnavailableError: Problem(
        status=503,
        name="unavailable",
        title="Not available",
        detail="the database does not answer, and it is not known whether this request was carried out; a change with "
        "an idempotency key may be sent again under the same one",
        retry_after=LATER,
    ),
    BrokerUnavailableError: Problem(
        status=503,
        name="unavailable",
        title="Not available",
        detail="the message broker does not answer; try again",
        retry_after=LATER,
    ),
}

_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457",
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": ["string", "null"]}, "detail": {"type": "string"}},
            },
        },
        "correlation_id": {"type": "string"},
    },
}
#: For `FastAPI(responses=…)`: what the documentation says of every answer that is not a success.
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    statuses: {"description": f"{who}, as a problem", "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}
    for statuses, who in (("4XX", "The request cannot be served"), ("5XX", "The server cannot serve it"))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Which errors have an answer, and which. `told` are errors of the application, with their statuses: their texts
    are told. `names` are fields that the API calls by other names.
    """

    told: Mapping[type[Exception], int] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    type_base: str = TYPE_BASE

    @property
    def classes(self) -> tuple[type[Exception], ...]:
        return (*{**_KNOWN, **self.told},)

    def problem_of(self, error: Exception) -> Problem | None:
        """By the most special class that is known; None for what nobody expected."""
        for cls in type(error).__mro__:
            if cls in self.told:
                return _as_told(self.told[cls], error, self._fields(error))
            if cls in _KNOWN:
                return replace(_KNOWN[cls], errors=self._fields(error))
        return None

    def _fields(self, error: Exception) -> tuple[tuple[str | None, str], ...]:
        if not isinstance(error, ValidationError):
            return ()
        return tuple((self._named(name), text) for name, texts in error.messages.items() for text in texts)

    def _named(self, name: str) -> str | None:
        return None if name == "_entity" else self.names.get(name, name)


def _as_told(status: int, error: Exception, errors: tuple[tuple[str | None, str], ...]) -> Problem:
    known = next((_KNOWN[cls] for cls in type(error).__mro__ if cls in _KNOWN), Problem(status=status))
    return replace(known, status=status, detail=str(error), errors=errors)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
