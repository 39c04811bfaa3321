"""The ids that a request brings along: who follows it, and which trace it is a part of."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Scope

#: Where an id is looked for, and told.
CORRELATION_HEADER = "X-Correlation-ID"
#: What strangers may put into logs and messages: visible ASCII, no longer than such ids are.
_ID = re.compile(r"[!-~]{1,128}")
#: https://www.w3.org/TR/trace-context/: version, trace, parent, flags, and whatever later versions add.
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{1,200})?"
)
_TRACESTATE = re.compile(r"[ -~]{1,512}")
_KEY = "protean.correlation"


@dataclass(frozen=True, slots=True)
class Correlation:
    """`id` is the request's, `header` the name it is told under."""

    header: str
    id: str

    def tell(self, message: Message) -> None:
        """Add it to the head of an answer, unless that has one already."""
        message.setdefault("headers", [])
        MutableHeaders(scope=message).setdefault(self.header, self.id)


def correlate(scope: Scope, header: str) -> Correlation:
    """The request's id: that of `header`, else the id of its trace, else a new one.

    An id that is none (too long, or not visible ASCII) is passed over: it is for finding things, and no reason to
    refuse a request. It stays with the scope, so that applications mounted inside, and answers to errors outside, use
    the same.
    """
    known = correlation_of(scope)
    if known is None:
        headers = Headers(scope=scope)
        given = headers.get(header, "")
        known = Correlation(header, given if _ID.fullmatch(given) else _trace_id(headers) or str(uuid4()))
        scope[_KEY] = known
    return known


def correlation_of(scope: Scope) -> Correlation | None:
    """What `correlate` has found for the request."""
    found = scope.get(_KEY)
    return found if isinstance(found, Correlation) else None


def trace_of(scope: Scope, wanted: Collection[str]) -> dict[str, str]:
    """Of `traceparent` and `tracestate` those that are `wanted` and can be believed."""
    headers = Headers(scope=scope)
    if _trace_id(headers) is None:
        return {}
    found = {"traceparent": headers["traceparent"]}
    state = ",".join(headers.getlist("tracestate"))
    if _TRACESTATE.fullmatch(state):
        found["tracestate"] = state
    return {name: value for name, value in found.items() if name in wanted}


def _trace_id(headers: Headers) -> str | None:
    given = headers.getlist("traceparent")
    found = _TRACEPARENT.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        return None
    version, trace_id, more = found.groups()
    return None if version == "00" and more else trace_id
