"""Serving below a path of a site that a proxy makes out of several: `/ops` instead of `/`."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from protean.exceptions import ConfigurationError
from protean.server.observatory.rendering import NAVIGATION

#: What addresses of the application's own begin with.
OWN = frozenset({page for page, _, _ in NAVIGATION} | {"api", "live", "messages", "metrics", "static", "stream"})
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


class Prefixed:
    """ASGI middleware: links, cookies and redirections begin with `prefix`.

    Proxies take the prefix away before they pass a request on, or do not: both work.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, prefix = scope["path"], self._prefix
            if path != prefix and not path.startswith(f"{prefix}/"):
                path = f"{prefix}{path}"
            scope = {**scope, "path": path, "root_path": prefix}
        await self._app(scope, receive, send)


def under(app: ASGIApp, prefix: str) -> ASGIApp:
    """The application below a prefix, itself without one.

    Raises ConfigurationError for one that is no path, or begins as an address of the application's own does: nobody
    could tell whether a proxy had taken it away.
    """
    prefix = prefix.rstrip("/")
    if not prefix:
        return app
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(f"--prefix={prefix[:100]} is no path: give it as /ops, letters, digits and - . _ ~")
    first = prefix.split("/")[1]
    if first in OWN:
        raise ConfigurationError(f"--prefix={prefix}: /{first} is an address of the Observatory itself; take another")
    return Prefixed(app, prefix)
