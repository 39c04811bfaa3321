"""The application: what is asked for where."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from protean.domain import Domain
from protean.exceptions import BrokerError, ConfigurationError, DatabaseError
from protean.server.observatory import metrics
from protean.server.observatory.about import About
from protean.server.observatory.access import LOOPBACK, Gate, Refusal, told
from protean.server.observatory.action_pages import action_pages
from protean.server.observatory.actions import Actions
from protean.server.observatory.collector import Collector
from protean.server.observatory.dlq import Dlq
from protean.server.observatory.documents import (
    ErrorDocument,
    LanesDocument,
    OverviewDocument,
    WorkersDocument,
    lanes_of,
    overview_of,
    workers_of,
)
from protean.server.observatory.feed import Feed
from protean.server.observatory.messages import Messages
from protean.server.observatory.operations import Operations
from protean.server.observatory.pages import pages, static
from protean.server.observatory.rendering import Renderer
from protean.server.observatory.sessions import Role, Sessions
from protean.server.observatory.streaming import Streams


@dataclass(frozen=True, slots=True)
class Access:
    """Who gets in: without tokens everybody who reaches it. `hosts` are names beside this machine's own.

    `read_only`: nobody may act, whatever the token.
    """

    tokens: Mapping[Role, str] = field(default_factory=dict)
    hosts: Sequence[str] = ()
    read_only: bool = False


def create_observatory(domain: Domain, access: Access = Access()) -> FastAPI:
    """The Observatory of an initialised domain, to be served by itself or mounted under a prefix.

    Mounted, it is the outer application's business to run its lifespan. Raises ConfigurationError where there is
    nothing to observe: a domain in memory, or without a broker.
    """
    if domain.outbox_broker is None:
        raise ConfigurationError(
            "this domain handles events inline, right after commit: there is nothing to observe; name a broker in "
            '[brokers.default] of domain.toml, for instance uri = "embedded"'
        )
    collector, feed, operations = Collector(domain), Feed(domain.broker()), Operations(domain)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        collector.start()
        feed.start()
        operations.start()
        yield
        await asyncio.to_thread(operations.stop)
        await asyncio.to_thread(collector.stop)
        await asyncio.to_thread(feed.stop)

    app = FastAPI(
        title=f"Observatory of {domain.name}",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,  # a path that is not there is not there, with and without a slash
        lifespan=lifespan,
        responses={401: {"model": ErrorDocument}, 403: {"model": ErrorDocument}},
    )
    app.include_router(_questions(domain, collector))
    app.include_router(Streams(domain.name, collector, feed).router())
    about, dlq = About(domain, collector.latest), Dlq(domain)
    actions, messages = Actions(domain, operations), Messages(domain, operations)
    for part in (about, dlq, actions, messages):
        app.include_router(part.router())
    renderer = Renderer(domain.name, collector.latest)
    app.include_router(pages(domain, renderer, about))
    app.include_router(action_pages(domain, renderer, dlq, actions, messages))
    app.include_router(static(renderer))
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(DatabaseError, _away)
    app.add_exception_handler(BrokerError, _away)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _impossible)
    sessions = Sessions(access.tokens, read_only=access.read_only)
    app.add_middleware(Gate, sessions=sessions, hosts=(*LOOPBACK, *access.hosts))
    return app


def _questions(domain: Domain, collector: Collector) -> APIRouter:
    router = APIRouter(tags=["figures"])

    @router.get("/api/overview")
    def overview() -> OverviewDocument:
        """The verdict, production now and before, the lanes' throughput, and what somebody should look at."""
        return overview_of(collector.latest())

    @router.get("/api/lanes")
    def lanes() -> LanesDocument:
        """Every stream: how far it is, how fast, and for whom."""
        return lanes_of(collector.latest())

    @router.get("/api/workers")
    def workers() -> WorkersDocument:
        """The engine processes with a sign of life."""
        return workers_of(collector.latest())

    @router.get("/metrics", response_class=Response)
    def scrape() -> Response:
        """The same for Prometheus."""
        return Response(metrics.exposed(domain.name, collector.latest()), media_type=metrics.CONTENT_TYPE)

    return router


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    return error.as_json()


async def _away(_request: Request, error: Exception) -> Response:
    """A server that was asked does not answer: that is none of the asker's doing, and over one day."""
    return Refusal(503, "unavailable", str(error), "nothing was done; try again when it answers").as_json()


async def _impossible(request: Request, error: Exception) -> Response:
    """What there is not, or not in that way."""
    if not isinstance(error, HTTPException):
        raise error
    code, remedy = {
        404: ("not-found", "begin at the first page, or see /api/openapi.json"),
        405: ("not-allowed", "see /api/openapi.json"),
    }.get(error.status_code, ("refused", "see /api/openapi.json"))
    refusal = Refusal(error.status_code, code, f"{request.url.path[:100]}: {error.detail}", remedy)
    answer = told(request, refusal)
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(_request: Request, error: Exception) -> Response:
    """What does not fit is named; the value is not said back."""
    if not isinstance(error, RequestValidationError):
        raise error
    where = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    message = where.encode(errors="replace").decode()  # names of fields are theirs, and may be half a character
    body = {"error": {"code": "invalid", "message": message, "remedy": "see /api/openapi.json"}}
    return JSONResponse(body, 422)
