"""What surrounds a request: the domain, `g`, the correlation id, a priority, and threads for blocking work."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from protean.domain import Domain
from protean.exceptions import ProteanError
from protean.integrations.fastapi.handlers import refusal
from protean.integrations.fastapi.running import served_by
from protean.integrations.fastapi.threads import Threads
from protean.integrations.fastapi.tracing import CORRELATION_HEADER, correlate, trace_of
from protean.priority import processing_priority
from protean.write.context import correlated, g

Values = Mapping[str, Any]

#: Calls that may wait for a thread. More lets bursts through, and makes the last of them wait longer.
MOST_WAITING = 1_000
#: RFC 6455: the other side breaks a rule of this one.
_POLICY_VIOLATION = 1008


class DomainContextMiddleware:
    """Makes `domain` the current one in every request and WebSocket, and during the application's lifespan.

    `values` and `priority` look at the request. What `values` returns, or awaits, becomes attributes of `g`; an
    HTTPException or one of protean's errors that either raises is the request's answer. `priority` is that of
    everything processed for the request, None for no say; without it no client has any.

    `correlation_header` names the header of the correlation id, in and out. `threads` is how many commands are carried
    out at once by `await process(…)`, by default as many as there are connections in the largest pool of a database;
    `most_waiting` how many more may wait.
    """

    def __init__(
        self,
        app: ASGIApp,
        domain: Domain,
        *,
        values: Callable[[HTTPConnection], Values | Awaitable[Values]] | None = None,
        priority: Callable[[HTTPConnection], int | None] | None = None,
        correlation_header: str = CORRELATION_HEADER,
        threads: int | None = None,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._app = app
        self._domain = domain
        self._values = values
        self._priority = priority
        self._header = correlation_header
        pools = [database.pool_size for database in domain.config.databases.values()]
        self._threads = Threads(max(pools) if threads is None else threads, most_waiting)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        correlation = correlate(scope, self._header)

        async def send_with_id(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                correlation.tell(message)
            await send(message)

        with ExitStack() as around:
            around.enter_context(correlated(correlation.id))
            around.enter_context(self._domain.domain_context(**trace_of(scope, self._domain.propagated)))
            around.enter_context(served_by(self._threads))
            try:
                priority = await self._ask(HTTPConnection(scope))
            except (HTTPException, ProteanError) as error:
                await _refuse(error, scope, receive, send_with_id)
                return
            if priority is not None:
                around.enter_context(processing_priority(priority))
            await self._app(scope, receive, send_with_id)

    async def _ask(self, connection: HTTPConnection) -> int | None:
        """Put into `g` what the request says of it; return the priority that it is given."""
        if self._values is not None:
            given = self._values(connection)
            for name, value in (await given if inspect.isawaitable(given) else given).items():
                setattr(g, name, value)
        return None if self._priority is None else self._priority(connection)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Commands in hand are finished before the application closes what they need."""

        async def receive_when_done() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._threads.close()
            return message

        try:
            with self._domain.domain_context(), served_by(self._threads):
                await self._app(scope, receive_when_done, send)
        finally:
            await self._threads.close()


async def _refuse(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in the application's place; raise what has no answer."""
    if scope["type"] == "http":
        answer: ASGIApp = await refusal(Request(scope), error)
    else:
        answer = WebSocketClose(_POLICY_VIOLATION)
    await answer(scope, receive, send)
