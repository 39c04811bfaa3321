"""The pages: what is on each is rendered here, and kept fresh by its scripts."""

from __future__ import annotations

import mimetypes

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from protean.server.observatory.access import Refusal
from protean.server.observatory.rendering import Renderer, static_files

#: How long a browser keeps a file whose address changes with its content.
FOR_EVER = "public, max-age=31536000, immutable"


def pages(renderer: Renderer) -> APIRouter:
    """Every page that is only looked at, and the files that pages need."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def overview(request: Request) -> Response:
        return renderer.page(request, "overview.html", page="overview")

    return router


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
