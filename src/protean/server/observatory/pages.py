"""The pages: what is on each is rendered here, and kept fresh by its scripts."""

from __future__ import annotations

import mimetypes
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from protean.domain import Domain
from protean.priority import Priority
from protean.server.observatory.about import About
from protean.server.observatory.access import Refusal
from protean.server.observatory.rendering import Renderer, static_files
from protean.server.observatory.views import sections

#: How long a browser keeps a file whose address changes with its content.
FOR_EVER = "public, max-age=31536000, immutable"
#: Names of traces, in the order of a message's life.
STEPS = (
    "outbox.published",
    "outbox.failed",
    "handler.started",
    "handler.completed",
    "handler.failed",
    "message.acked",
    "message.retried",
    "message.dlq",
)


def pages(domain: Domain, renderer: Renderer, about: About) -> APIRouter:
    """Every page that is only looked at, and the files that pages need."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def overview(request: Request) -> Response:
        return renderer.page(request, "overview.html", page="overview")

    @router.get("/lanes")
    def lanes(request: Request) -> Response:
        return renderer.page(request, "lanes.html", page="lanes")

    @router.get("/flow")
    def flow(request: Request) -> Response:
        wanted = {name: request.query_params.get(name, "") for name in ("category", "lane", "event", "type")}
        suffix = domain.lanes.backfill_suffix if domain.lanes.enabled else ""
        return renderer.page(request, "flow.html", page="flow", wanted=wanted, steps=STEPS, backfill=suffix)

    @router.get("/backfills")
    def backfills(request: Request) -> Response:
        lanes = domain.lanes
        return renderer.page(
            request, "backfills.html", page="backfills", backfill=lanes.enabled, threshold=lanes.threshold
        )

    @router.get("/subscriptions")
    def subscriptions(request: Request) -> Response:
        return renderer.page(request, "subscriptions.html", page="subscriptions")

    @router.get("/workers")
    def workers(request: Request) -> Response:
        return renderer.page(request, "workers.html", page="workers", backfill=domain.lanes.enabled)

    @router.get("/config")
    def config(request: Request) -> Response:
        told, asked = about.config(), request.query_params.get("type", "").strip()
        return renderer.page(
            request,
            "config.html",
            page="config",
            source=told.source,
            env=told.env,
            sections=sections(told.config),
            asked={"type": asked, "priority": request.query_params.get("priority", "0")},
            priorities=[(priority.name, int(priority)) for priority in Priority],
            **_way(about, asked, request.query_params.get("priority", "0")),
        )

    return router


def _way(about: About, message_type: str, priority: str) -> dict[str, Any]:
    """Where a message would go, or why that cannot be said."""
    if not message_type:
        return {"route": None, "refusal": None}
    try:
        given = int(priority)
    except ValueError:
        return {"route": None, "refusal": f"{priority[:20]!r} is no priority: name a whole number, such as -50"}
    if not Priority.BULK <= given <= Priority.CRITICAL:
        return {"route": None, "refusal": f"priorities go from {int(Priority.BULK)} to {int(Priority.CRITICAL)}"}
    try:
        return {"route": about.route(message_type[:300], given), "refusal": None}
    except Refusal as refusal:
        return {"route": None, "refusal": f"{refusal.message}: {refusal.remedy}"}


def static(renderer: Renderer) -> APIRouter:
    """The files by their version, so that browsers need not ask again. Only those that were there at the start."""
    router = APIRouter(include_in_schema=False)
    files = static_files()

    @router.get("/static/{version}/{path:path}")
    def static_file(version: str, path: str) -> Response:
        file = files.get(path)
        if file is None:
            raise Refusal(404, "no-such-file", f"there is no file {path[:100]!r}", "load the page again")
        media_type = mimetypes.guess_type(path)[0] or "text/plain"
        headers = {"cache-control": FOR_EVER if version == renderer.version else "no-store"}
        return FileResponse(file, media_type=media_type, headers=headers)

    return router
