"""Pages: templates with the figures of the moment, and the files that they need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from protean.server.observatory import formats, views
from protean.server.observatory.sessions import Role
from protean.server.observatory.snapshot import Snapshot

HERE = Path(__file__).parent
TEMPLATES, STATIC = HERE / "templates", HERE / "static"

#: What the navigation shows: page, name, and the key after `g`.
NAVIGATION = (
    ("overview", "Overview", "o"),
    ("lanes", "Lanes", "l"),
    ("backfills", "Backfills", "b"),
    ("flow", "Flow", "f"),
    ("dlq", "Dead letters", "d"),
    ("subscriptions", "Subscriptions", "s"),
    ("workers", "Workers", "w"),
    ("operations", "Operations", "a"),
    ("config", "Configuration", "c"),
)


def static_files() -> dict[str, Path]:
    """Every file of `static/`, by the path below it."""
    return {path.relative_to(STATIC).as_posix(): path for path in sorted(STATIC.rglob("*")) if path.is_file()}


class Renderer:
    """The pages of one domain. `latest` gives the snapshot that a page shows before its scripts run."""

    def __init__(self, name: str, latest: Callable[[], Snapshot]) -> None:
        self._name = name
        self._latest = latest
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"at": formats.at, "show": formats.show, "points": formats.points}
        digest = hashlib.sha256()
        for path, file in static_files().items():
            digest.update(path.encode() + file.read_bytes())
        self.version = digest.hexdigest()[:12]

    def page(self, request: Request, template: str, *, page: str, status: int = 200, **context: Any) -> HTMLResponse:
        """The template, which extends `layout.html`, as the answer. `page` is the entry of the navigation it is under.

        Templates are given `base` (what links begin with), `assets`, `may_act`, `csrf` and `live` (see `views.live`).
        """
        base = request.scope.get("root_path", "").rstrip("/")
        session = request.state.session
        text = self._environment.get_template(template).render(
            base=base,
            assets=f"{base}/static/{self.version}",
            name=self._name,
            page=page,
            navigation=NAVIGATION,
            session=session,
            may_act=session.role is Role.ALL,
            csrf=session.csrf,
            live=views.live(self._latest()),
            **context,
        )
        return HTMLResponse(text, status)
