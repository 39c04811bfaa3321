"""The gate before every request: which host it names, where it comes from, who it is from, and how much it brings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest
from urllib.parse import urlsplit

from starlette.datastructures import URL, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protean.server.observatory.sessions import SESSION_LASTS, Rates, Role, Session, Sessions

logger = logging.getLogger(__name__)

COOKIE = "protean_observatory"
#: Names by which a machine calls itself.
LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")
#: Bytes that a request may bring: actions are short.
LARGEST_BODY = 64 * 1024
#: Requests under way at most; beyond, an answer says so. Each viewer is one for as long as it looks.
REQUESTS = 1_000
#: Methods that change nothing.
SAFE = ("GET", "HEAD")

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(eq=False)  # not frozen: whoever passes an exception on sets its traceback
class Refusal(Exception):  # noqa: N818  # it is an answer, not an error of ours
    """Why a request gets no further, in words for whoever sent it."""

    status: int
    code: str
    message: str
    remedy: str

    def as_json(self) -> JSONResponse:
        body = {"error": {"code": self.code, "message": self.message, "remedy": self.remedy}}
        return JSONResponse(body, self.status, headers=self.headers)

    @property
    def headers(self) -> dict[str, str]:
        return {"www-authenticate": "Bearer"} if self.status == 401 else {}


class Gate:
    """ASGI middleware. Puts the `Session` into the request's state, or answers in the application's place.

    `hosts` are the names, without port, by which the application may be called: whoever makes a browser call it by
    another (DNS rebinding) is turned away.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions, hosts: Sequence[str]) -> None:
        self._app = app
        self._sessions = sessions
        self._hosts = frozenset(host.lower().strip("[]") for host in hosts)
        self._actions, self._mistaken = Rates(), Rates()
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._under_way += 1
            try:
                await self._pass(scope, receive, send)
            finally:
                self._under_way -= 1
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":  # there are none here, and nothing below asks who it is
            await send({"type": "websocket.close", "code": 1008})

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            answer = self._entering(request)
            if answer is None:
                self._check(request)
                receive = _bounded(receive)
        except Refusal as refusal:
            answer = told(request, refusal)
        sending = _Sending(send)
        try:
            await (answer or self._app)(scope, receive, sending)
        except Exception:  # what is answered to the rest of a mistake of ours has the headers of every other answer
            if sending.begun:
                raise
            logger.exception("%s %s has failed", request.method, request.url.path)
            failed = Refusal(500, "failed", "the Observatory has failed at this", "its log says why")
            await told(request, failed)(scope, receive, sending)

    def _check(self, request: Request) -> None:
        """Raise Refusal unless the request may go on."""
        if self._under_way > REQUESTS:
            raise Refusal(503, "full", f"there are {REQUESTS} requests under way already", "try again in a moment")
        self._check_host(request)
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or len(announced) > 18 or int(announced) > LARGEST_BODY:
            raise Refusal(413, "too-large", f"more than {LARGEST_BODY} bytes", "actions take a few hundred")
        if _is_of_another_site(request):
            raise Refusal(403, "foreign-origin", "the request comes from another site", "open the Observatory itself")
        if _is_static(request):  # nothing of anybody's, and the page to enter by needs it
            return
        session = self._session(request)
        if session is None:
            raise Refusal(
                401,
                "no-token",
                "this needs a token",
                "open it as /?token=… with what --token-file has, or send it as bearer",
            )
        request.state.session = session
        if request.method not in SAFE:
            self._check_change(request, session)

    def _check_host(self, request: Request) -> None:
        host = request.headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            name = ""
        if name.lower() not in self._hosts:
            remedy = f"start it with --allow-host={name}" if name else "send the header Host"
            raise Refusal(421, "unknown-host", f"this is not called {host[:100]!r}", remedy)

    def _check_change(self, request: Request, session: Session) -> None:
        if session.role is not Role.ALL:
            raise Refusal(403, "read-only", "this link may only look", "use the link for acting")
        if not _bearer(request):  # no browser sends that by itself
            if not _is_same_origin(request):
                raise Refusal(403, "foreign-origin", "the request comes from another site", "act on the page itself")
            if not compare_digest(request.headers.get("x-csrf-token", "").encode(), session.csrf.encode()):
                raise Refusal(403, "no-csrf-token", "the page is older than the session", "load the page again")
        # Last, so that nobody who may not act uses up what those who may are allowed.
        if not self._actions.allows(_client(request)):
            raise Refusal(429, "too-many", "too many actions in a row", "wait some seconds")

    def _session(self, request: Request) -> Session | None:
        token = _bearer(request)
        if token and self._sessions.closed:
            return Session(self._role(request, token), f"token from {_client(request)}")
        return self._sessions.of(request.cookies.get(COOKIE))

    def _entering(self, request: Request) -> Response | None:
        """The answer to a link with a token: a session's cookie, and the same address without the token."""
        token = request.query_params.get("token")
        if token is None or request.method != "GET" or not self._sessions.closed:
            return None
        self._check_host(request)
        role = self._role(request, token)
        answer = RedirectResponse(_without_token(request.url), 303)
        answer.set_cookie(
            COOKIE,
            self._sessions.enter(role, f"browser from {_client(request)}"),
            max_age=int(SESSION_LASTS),
            path=request.scope.get("root_path", "") or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",  # a link from a chat must work; what changes something needs more than the cookie
        )
        return answer

    def _role(self, request: Request, token: str) -> Role:
        """What the token opens. Whoever has named many wrong ones is not told whether the next is right."""
        client = _client(request)
        if self._mistaken.exhausted(client):
            raise Refusal(429, "too-many", "too many attempts in a row", "wait some seconds")
        role = self._sessions.role_of(token)
        if role is None:
            self._mistaken.allows(client)
            raise Refusal(401, "wrong-token", "this token is not known", "it is in the file of --token-file")
        return role


def _is_static(request: Request) -> bool:
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return request.method in SAFE and str(path).startswith("/static/")


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _client(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"


def _without_token(url: URL) -> str:
    """Path and query only: where the answer sends the browser is never somebody else's site."""
    rest = url.remove_query_params("token")
    return "/" + rest.path.lstrip("/") + (f"?{rest.query}" if rest.query else "")


def _is_of_another_site(request: Request) -> bool:
    """Whether a page of somebody else's asks by its scripts or pictures, which could at least make engines talk.

    Whoever follows a link from there is let in. What is no browser says nothing of it.
    """
    site = request.headers.get("sec-fetch-site")
    return site in ("cross-site", "same-site") and request.headers.get("sec-fetch-mode") != "navigate"


def _is_same_origin(request: Request) -> bool:
    """As the browser says: by Sec-Fetch-Site where it knows that, else by Origin, which it must send."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return site == "same-origin"
    return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()


def told(request: Request, refusal: Refusal) -> Response:
    """As JSON for programs, as a line for people."""
    if "text/html" in request.headers.get("accept", ""):
        return PlainTextResponse(f"{refusal.message}: {refusal.remedy}\n", refusal.status, refusal.headers)
    return refusal.as_json()


def _bounded(receive: Receive) -> Receive:
    """A body that was announced as short, or not at all, and goes on and on ends here."""
    left = LARGEST_BODY

    async def receiving() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                return {"type": "http.disconnect"}
        return message

    return receiving


class _Sending:
    """Adds the headers to the answer; `begun` once there is one."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await self._send(message)
