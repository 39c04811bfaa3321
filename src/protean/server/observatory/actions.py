"""What may be done from here, and what is on record of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request

from protean.domain import Domain
from protean.exceptions import InvalidOperationError
from protean.server.control import Controls
from protean.server.dead_letters import DeadLetters
from protean.server.observatory.access import Refusal
from protean.server.observatory.action_documents import (
    AcceptedDocument,
    DiscardRequest,
    OperationDocument,
    OperationsDocument,
    PausedDocument,
    PauseRequest,
    ReplayRequest,
    ResumedDocument,
    ResumeRequest,
)
from protean.server.observatory.deciding import Chosen, Deciding
from protean.server.observatory.documents import ErrorDocument
from protean.server.observatory.operations import BusyError, Operations, Work

#: Operations in one answer, unless asked for fewer, and at most.
OPERATIONS, MOST_OPERATIONS = 50, 500


class Actions:
    """The actions on one domain. What changes something has passed the gate, which knows who asks."""

    def __init__(self, domain: Domain, operations: Operations) -> None:
        self._controls = Controls(domain)
        self._deciding = Deciding(DeadLetters(domain))
        self._operations = operations

    def router(self) -> APIRouter:
        acting = APIRouter(
            prefix="/api/actions",
            tags=["actions"],
            responses={409: {"model": ErrorDocument}, 422: {"model": ErrorDocument}, 429: {"model": ErrorDocument}},
        )
        acting.add_api_route("/pause", self.pause, methods=["POST"])
        acting.add_api_route("/resume", self.resume, methods=["POST"])
        acting.add_api_route("/replay", self.replay, methods=["POST"], status_code=202)
        acting.add_api_route("/discard", self.discard, methods=["POST"], status_code=202)
        router = APIRouter()
        router.include_router(acting)
        router.add_api_route("/api/operations", self.operations, tags=["actions"])
        router.add_api_route(
            "/api/operations/{operation_id}",
            self.operation,
            tags=["actions"],
            responses={404: {"model": ErrorDocument}},
        )
        return router

    def pause(self, request: Request, body: PauseRequest) -> PausedDocument:
        """Have every engine give a handler nothing more on one lane, for some minutes at most."""
        try:
            pause = self._controls.pause(
                body.handler,
                body.lane,
                reason=body.reason,
                actor=actor(request),
                lasting=timedelta(minutes=body.minutes),
            )
        except InvalidOperationError as error:
            raise _invalid(error) from None
        return PausedDocument(handler=pause.handler, lane=pause.lane, expires_at=pause.expires_at)

    def resume(self, request: Request, body: ResumeRequest) -> ResumedDocument:
        """Let a paused handler go on."""
        try:
            resumed = self._controls.resume(body.handler, body.lane, actor=actor(request))
        except InvalidOperationError as error:
            raise _invalid(error) from None
        return ResumedDocument(handler=body.handler, lane=body.lane, resumed=resumed)

    def replay(self, request: Request, body: ReplayRequest) -> AcceptedDocument:
        """Have dead letters tried again, by the handler that failed and no other, in order."""
        chosen = self._exactly(body)
        work = partial(self._deciding.replay, body.scope.scope, body.expected, actor(request))
        return self._begin("replay", work, request, chosen)

    def discard(self, request: Request, body: DiscardRequest) -> AcceptedDocument:
        """Decide that their handler shall never see them. They stay in the archive, with who decided it and why."""
        if not body.reason.strip():
            raise Refusal(422, "invalid", "a discard needs a reason", "it is what people find in the archive")
        chosen = self._exactly(body)
        work = partial(self._deciding.discard, body.scope.scope, body.expected, actor(request), body.reason)
        return self._begin("discard", work, request, chosen, body.reason)

    def operations(
        self, before: datetime | None = None, limit: Annotated[int, Query(ge=1, le=MOST_OPERATIONS)] = OPERATIONS
    ) -> OperationsDocument:
        """What was done by whom, and what came of it, newest first; those begun before a moment, with its time zone."""
        if before is not None and before.tzinfo is None:
            raise Refusal(422, "invalid", "`before` needs a time zone", "as 2030-01-31T12:00:00Z")
        return OperationsDocument.of(self._operations.newest(limit, before), limit)

    def operation(self, operation_id: str) -> OperationDocument:
        """How far one is, or what came of it."""
        found = self._operations.one(operation_id) if operation_id.isalnum() and operation_id.isascii() else None
        if found is None:
            raise Refusal(404, "unknown", "there is no such operation", "they are kept for 90 days; see /operations")
        return OperationDocument.of(found)

    def _exactly(self, body: ReplayRequest) -> Chosen:
        """What is meant. Raises Refusal when it is no longer what was shown."""
        try:
            chosen = self._deciding.chosen(body.scope.scope)
        except InvalidOperationError as error:
            raise _invalid(error) from None
        if chosen.count != body.expected:
            raise Refusal(
                409,
                "changed",
                f"there are {chosen.count:,} now, not {body.expected:,}",
                "nothing was done; look again, and decide again",
            )
        return chosen

    def _begin(self, kind: str, work: Work, request: Request, chosen: Chosen, reason: str = "") -> AcceptedDocument:
        try:
            begun = self._operations.begin(
                kind, work, actor=actor(request), target=chosen.words, reason=reason, total=chosen.count
            )
        except BusyError as error:
            raise Refusal(429, "busy", str(error), "wait until one of them has ended; see /operations") from None
        return AcceptedDocument(operation=begun.id)


def actor(request: Request) -> str:
    """Who asks, as records show it."""
    return str(request.state.session.name)


def _invalid(error: InvalidOperationError) -> Refusal:
    return Refusal(422, "invalid", str(error), "see /api/openapi.json")
