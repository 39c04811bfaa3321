"""The pages that one acts on: dead letters, messages, and what was done by whom."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from protean.domain import Domain
from protean.exceptions import BrokerError, DatabaseError
from protean.server.observatory.access import Refusal
from protean.server.observatory.actions import Actions
from protean.server.observatory.dlq import Dlq
from protean.server.observatory.documents import Document
from protean.server.observatory.messages import Messages
from protean.server.observatory.rendering import Renderer

T = TypeVar("T", bound=Document)
#: What the filters of a page may hold. What makes no sense there is answered as the API does.
Filter = Annotated[str, Query(max_length=1_000)]


def action_pages(domain: Domain, renderer: Renderer, dlq: Dlq, actions: Actions, messages: Messages) -> APIRouter:
    """Each works without scripts, which bring the buttons along."""
    router = APIRouter(include_in_schema=False)
    suffix = f":{domain.lanes.backfill_suffix}" if domain.lanes.enabled else ""

    def told(request: Request, page: str, template: str, question: Callable[[], T]) -> Response:
        """The page of one thing; in place of one that is not there, what to do."""
        try:
            found = question()
        except Refusal as refusal:
            return renderer.page(request, "missing.html", page=page, status=refusal.status, refusal=refusal)
        except (DatabaseError, BrokerError) as error:
            away = Refusal(503, "unavailable", str(error), "load the page again when it answers")
            return renderer.page(request, "missing.html", page=page, status=503, refusal=away)
        return renderer.page(request, template, page=page, suffix=suffix, found=found.model_dump(mode="json"))

    @router.get("/dlq")
    def dead_letters(
        request: Request, handler: Filter = "", error: Filter = "", group: Filter = "", after: Filter = ""
    ) -> Response:
        def question() -> DeadLettersPage:
            groups = dlq.groups(handler=handler or None, error=error or None)
            chosen = [each for each in groups.groups if each.id == group] if group else []
            entries = dlq.entries(group=group or None, handler=handler or None, after=after or None)
            return DeadLettersPage(
                total=groups.total,
                groups=[each.model_dump(mode="json") for each in groups.groups],
                group=chosen[0].model_dump(mode="json") if chosen else None,
                entries=entries.model_dump(mode="json"),
                wanted={"handler": handler, "error": error, "group": group},
            )

        return told(request, "dlq", "dlq.html", question)

    @router.get("/dlq/{place:path}")
    def dead_letter(request: Request, place: str) -> Response:
        return told(request, "dlq", "letter.html", lambda: dlq.entry(place))

    @router.get("/messages/{message_id}")
    def message(request: Request, message_id: str) -> Response:
        return told(request, "flow", "message.html", lambda: messages.message(message_id))

    @router.get("/operations")
    def operations(request: Request, before: datetime | None = None) -> Response:
        return told(request, "operations", "operations.html", lambda: actions.operations(before, 50))

    return router


class DeadLettersPage(Document):
    """What `/dlq` shows: groups, and the entries of the `group` that is open, or of all."""

    total: int
    groups: list[dict[str, object]]
    group: dict[str, object] | None
    entries: dict[str, object]
    wanted: dict[str, str]
