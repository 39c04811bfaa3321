"""Who gets in, and what they may do: the gate in front of the real application, one promise a test."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import AsyncIterator, Iterator
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.support.bank import build_bank

from protean.exceptions import ConfigurationError
from protean.server.observatory import access, sessions, streaming
from protean.server.observatory.access import HEADERS, LARGEST_BODY, Gate
from protean.server.observatory.app import Access, create_observatory
from protean.server.observatory.prefix import under
from protean.server.observatory.serving import Place, require_token
from protean.server.observatory.sessions import SESSION_LASTS, Role, Sessions

TOKEN, LOOKING = "a-token-that-nobody-guesses-0", "another-one-for-looking-only-1"
SELF = "http://localhost"
#: An address that asks no server, behind the gate as every other.
QUIET = "/api/openapi.json"


class Doors:
    """The application with this access, called without a network."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def send(self, method: str, path: str, base: str = SELF, **options: Any) -> httpx.Response:
        return asyncio.run(self._send(method, path, base, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.send("GET", path, **options)

    async def _send(self, method: str, path: str, base: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, **options)

    def enter(self, token: str = TOKEN) -> dict[str, str]:
        """The header with the cookie that a token's link brings."""
        cookie = SimpleCookie(self.get(f"/?token={token}").headers["set-cookie"])
        return {"cookie": f"{access.COOKIE}={cookie[access.COOKIE].value}"}


CLOSED = Access({Role.ALL: TOKEN, Role.READ_ONLY: LOOKING}, hosts=("observatory.example",))


@pytest.fixture
def domain(database_url: str, broker_url: str) -> Iterator[Any]:
    config = {
        "databases": {"default": {"database_uri": database_url}},
        "brokers": {"default": {"uri": broker_url}},
        "server": {"priority_lanes": {"enabled": True}},
    }
    domain = build_bank(config).domain
    yield domain
    domain.close()


@pytest.fixture
def closed(domain: Any) -> Doors:
    return Doors(create_observatory(domain, CLOSED))


@pytest.fixture
def opened(domain: Any) -> Doors:
    return Doors(create_observatory(domain))


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_it_listens_on_this_machine_unless_told_otherwise_and_nowhere_else_without_a_token() -> None:
    assert Place().host == "127.0.0.1"
    for host in ("127.0.0.1", "::1", "localhost"):
        require_token(host, {})
    for host in ("0.0.0.0", "::", "10.0.0.7", "observatory.example"):
        with pytest.raises(ConfigurationError, match="--token-file"):
            require_token(host, {})
        require_token(host, {Role.ALL: TOKEN})


def test_a_link_with_the_token_becomes_a_session_and_an_address_without_it(closed: Doors) -> None:
    answer = closed.get(f"/lanes?stream=a&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/lanes?stream=a")
    cookie = SimpleCookie(answer.headers["set-cookie"])[access.COOKIE]

    assert TOKEN not in cookie.value
    assert cookie["httponly"]
    assert cookie["samesite"] == "lax"
    assert cookie["path"] == "/"
    assert int(cookie["max-age"]) == SESSION_LASTS
    assert not cookie["secure"]
    assert "Secure" in closed.get(f"/?token={TOKEN}", base="https://localhost").headers["set-cookie"]
    assert closed.get(QUIET, headers=closed.enter()).status_code == 200


@pytest.mark.parametrize("path", ["//foreign.example/x", "/%5Cforeign.example", "/%2F%2Fforeign.example"])
def test_entering_leads_to_no_other_site(closed: Doors, path: str) -> None:
    location = closed.send("GET", f"{SELF}{path}?token={TOKEN}").headers["location"]

    assert location.startswith("/")
    assert location[1:2] not in ("/", "\\")


def test_without_a_token_nothing_is_told(closed: Doors) -> None:
    for path in ("/", QUIET, "/api/overview", "/metrics", "/stream", "/live", "/nowhere"):
        answer = closed.get(path)
        assert code(answer) == (401, "no-token")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert code(closed.get(QUIET, headers={"cookie": f"{access.COOKIE}=guessed"})) == (401, "no-token")


@pytest.mark.parametrize("path", ["/api/static/overview", "/static/../api/overview", "/x/static/y"])
def test_only_the_static_files_themselves_need_no_token(closed: Doors, path: str) -> None:
    assert closed.send("GET", path).status_code in (401, 404)
    assert code(closed.send("POST", path)) == (401, "no-token")
    assert closed.get("/static/nothing.js").status_code == 404


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/%5c..%5capp.py", "/static//"]
)
def test_no_path_leads_out_of_the_static_files(closed: Doors, path: str) -> None:
    answer = closed.send("GET", path)

    assert answer.status_code in (401, 404)
    assert "import" not in answer.text


def test_wrong_tokens_are_limited_and_a_right_one_is_not(closed: Doors) -> None:
    for _ in range(3 * int(sessions.BURST)):
        assert closed.get(QUIET, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    answers = [closed.get(QUIET, headers={"authorization": f"Bearer wrong-{each}"}) for each in range(60)]

    assert code(answers[0]) == (401, "wrong-token")
    assert code(answers[-1]) == (429, "too-many")
    assert code(closed.get("/?token=wrong")) == (429, "too-many")
    # Else the answer to the right one, among many that are refused, would tell that it is.
    assert code(closed.get(QUIET, headers={"authorization": f"Bearer {TOKEN}"})) == (429, "too-many")


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def watching(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(sessions, "compare_digest", watching)
    kept = Sessions({Role.ALL: TOKEN, Role.READ_ONLY: LOOKING})

    assert kept.role_of(TOKEN) is Role.ALL
    assert kept.role_of(LOOKING) is Role.READ_ONLY
    assert kept.role_of("ünknown") is None
    assert len(compared) == 6  # all of them, whichever was the one


def test_a_session_ends(closed: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = closed.enter()
    assert closed.get(QUIET, headers=headers).status_code == 200
    now = sessions.time.monotonic()
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now + SESSION_LASTS + 1.0)

    assert code(closed.get(QUIET, headers=headers)) == (401, "no-token")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::", ""])
def test_it_answers_to_its_own_names_only(opened: Doors, closed: Doors, host: str) -> None:
    assert code(opened.get(QUIET, headers={"host": host})) == (421, "unknown-host")
    assert code(closed.get(f"/?token={TOKEN}", headers={"host": host})) == (421, "unknown-host")
    for own in ("localhost:9000", "127.0.0.1:1", "[::1]:9000", "LOCALHOST"):
        assert opened.get(QUIET, headers={"host": own}).status_code == 200
    assert closed.get(QUIET, headers={"host": "observatory.example", **closed.enter()}).status_code == 200


SAME = {"origin": SELF, "sec-fetch-site": "same-origin"}


def mutations(app: Any) -> list[tuple[str, str]]:
    """Every way to change something that the application has, and two that it has not."""
    document = app.openapi()["paths"]
    found = [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, methods in document.items()
        for method in methods
        if method not in ("get", "head")
    ]
    return [*found, ("POST", "/api/overview"), ("DELETE", "/nowhere")]


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, "foreign-origin"),
        ({"origin": "http://evil.example"}, "foreign-origin"),
        ({"origin": "null"}, "foreign-origin"),
        ({"origin": SELF, "sec-fetch-site": "cross-site"}, "foreign-origin"),
        ({"origin": SELF, "sec-fetch-site": "same-site"}, "foreign-origin"),
        ({"sec-fetch-site": "none"}, "foreign-origin"),
        (SAME, "no-csrf-token"),
        ({**SAME, "x-csrf-token": "guessed"}, "no-csrf-token"),
    ],
)
def test_every_change_needs_its_own_origin_and_the_sessions_secret(
    domain: Any, headers: dict[str, str], refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BURST", 1_000.0)
    monkeypatch.setattr(sessions.Rates.__init__, "__defaults__", (1_000.0, 1.0))
    for given in (Access(), CLOSED):
        doors = Doors(create_observatory(domain, given))
        cookie = doors.enter() if given.tokens else {}
        for method, path in mutations(doors.app):
            answer = doors.send(method, path, headers={**headers, **cookie})
            assert code(answer) == (403, refused), (method, path)


def test_who_may_only_look_changes_nothing(domain: Any, closed: Doors) -> None:
    looking = [(closed, closed.enter(LOOKING)), (closed, {"authorization": f"Bearer {LOOKING}"})]
    strict = Doors(create_observatory(domain, Access({Role.ALL: TOKEN}, read_only=True)))
    looking += [(strict, strict.enter()), (strict, {"authorization": f"Bearer {TOKEN}"})]
    looking += [(Doors(create_observatory(domain, Access(read_only=True))), {})]
    for doors, headers in looking:
        assert doors.get(QUIET, headers=headers).status_code == 200
        for method, path in mutations(doors.app)[:8]:
            assert code(doors.send(method, path, headers={**headers, **SAME})) == (403, "read-only")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_cannot_even_make_engines_talk_and_links_there_lead_here(domain: Any, site: str) -> None:
    doors = Doors(create_observatory(domain, Access()))
    for path in ("/stream", "/live", "/api/overview", "/metrics"):
        answer = doors.get(path, headers={"sec-fetch-site": site, "sec-fetch-mode": "no-cors"})
        assert code(answer) == (403, "foreign-origin"), path
    link = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
    assert doors.get(QUIET, headers=link).status_code == 200


def test_what_is_not_there_is_refused_like_everything_else(closed: Doors) -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert code(closed.get("/nowhere", headers=bearer)) == (404, "not-found")
    wrong = closed.send("DELETE", "/api/overview", headers=bearer)
    assert (code(wrong), wrong.headers["allow"]) == ((405, "not-allowed"), "GET")
    page = closed.get("/nowhere", headers={**bearer, "accept": "text/html"})
    assert (page.headers["content-type"], "Traceback" in page.text) == ("text/plain; charset=utf-8", False)


def test_who_may_not_act_uses_up_nobodys_permissions(closed: Doors) -> None:
    looking, acting = ({"authorization": f"Bearer {token}"} for token in (LOOKING, TOKEN))
    for _ in range(60):
        assert code(closed.send("POST", "/api/overview", headers=looking)) == (403, "read-only")
    assert closed.send("POST", "/api/overview", headers=acting).status_code == 405


def test_actions_in_a_row_are_limited(closed: Doors) -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}
    answers = [closed.send("POST", "/api/overview", headers=bearer).status_code for _ in range(60)]

    assert answers[0] == 405
    assert answers[-1] == 429


def test_every_answer_has_the_headers_also_errors_and_static_files(
    closed: Doors, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}

    def broken() -> None:
        raise RuntimeError("broken")

    closed.app.add_api_route("/broken", broken)
    answers = {
        200: closed.get(QUIET, headers=bearer),
        303: closed.get(f"/?token={TOKEN}"),
        401: closed.get(QUIET),
        403: closed.send("POST", QUIET, headers=closed.enter()),
        404: closed.get("/static/nothing.js"),
        405: closed.send("POST", "/api/overview", headers=bearer),
        421: closed.get(QUIET, headers={"host": "evil.example"}),
        422: closed.get(f"/stream?type={'x' * 300}", headers=bearer),
        500: closed.get("/broken?secret=1", headers=bearer),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "cache-control" in answer.headers
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert code(answers[500]) == (500, "failed")
    assert "broken" not in answers[500].json()["error"]["message"]
    assert "GET /broken has failed" in caplog.text


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "CONNECT", "BREW"])
def test_other_methods_tell_and_change_nothing(closed: Doors, opened: Doors, method: str) -> None:
    assert closed.send(method, QUIET).status_code == 401
    answer = opened.send(method, "/api/overview", headers=SAME)
    assert answer.status_code in (403, 405)
    assert "access-control-allow-origin" not in answer.headers


def test_a_body_is_short_announced_or_not(domain: Any) -> None:
    read: list[int] = []

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        message: Message = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            read.append(len(message.get("body", b"")))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 4096

    doors = Doors(Gate(reading, Sessions({Role.ALL: TOKEN}), ["localhost"]))
    bearer = {"authorization": f"Bearer {TOKEN}"}
    doors.send("POST", "/", headers=bearer, content=endless())
    assert sum(read) <= LARGEST_BODY
    read.clear()
    for announced in (str(LARGEST_BODY + 1), "9" * 5_000, "-1", "many"):
        answer = doors.send("POST", "/", headers={**bearer, "content-length": announced}, content=b"x")
        assert code(answer) == (413, "too-large")
    assert not read


def test_a_websocket_is_turned_away() -> None:
    sent: list[Message] = []

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError(scope)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Gate(never, Sessions({}), ["localhost"])({"type": "websocket"}, receive, send))

    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_there_are_so_many_viewers_at_most(opened: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "VIEWERS", 0)

    for path in ("/stream", "/live"):
        assert code(opened.get(path)) == (503, "full")


def test_so_many_requests_are_under_way_at_most(opened: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "REQUESTS", 0)
    answer = opened.get(QUIET)

    assert code(answer) == (503, "full")
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


@pytest.mark.parametrize("passed_on", ["", "/ops"], ids=["the proxy takes it away", "the proxy leaves it"])
def test_below_a_prefix_everything_leads_there_whether_or_not_the_proxy_takes_it_away(
    domain: Any, passed_on: str
) -> None:
    doors = Doors(under(create_observatory(domain, CLOSED), "/ops/"))
    entering = doors.get(f"{passed_on}/config?type=Opened&token={TOKEN}")
    cookie = SimpleCookie(entering.headers["set-cookie"])[access.COOKIE]
    session = {"cookie": f"{access.COOKIE}={cookie.value}"}

    assert (entering.status_code, entering.headers["location"]) == (303, "/ops/config?type=Opened")
    assert cookie["path"] == "/ops"
    assert code(doors.get(f"{passed_on}{QUIET}")) == (401, "no-token")
    page = doors.get(f"{passed_on}/config", headers=session)
    assert page.status_code == 200
    links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page.text)
    assert links
    assert all(link.startswith("/ops/") for link in links)
    file = next(link for link in links if link.endswith(".css")).removeprefix("/ops")
    assert doors.get(f"{passed_on}{file}").status_code == 200
    assert doors.get(f"{passed_on}{QUIET}", headers=session).json()["servers"] == [{"url": "/ops"}]
    act = doors.send("POST", f"{passed_on}/api/overview", headers={**session, "origin": "http://evil.example"})
    assert code(act) == (403, "foreign-origin")


@pytest.mark.parametrize("prefix", ["ops", "/ops//x", "/..", "/a b", "/api", "/dlq/x", "//evil.example"])
def test_a_prefix_that_leads_elsewhere_or_to_a_page_is_refused(domain: Any, prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="--prefix"):
        under(create_observatory(domain), prefix)


def test_no_token_is_logged(closed: Doors, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("protean").propagate = True
    closed.enter()
    closed.get("/?token=a-wrong-one-of-somebody")
    closed.get(QUIET, headers={"authorization": f"Bearer {TOKEN}"})

    told = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpx"))
    assert TOKEN not in told
    assert "a-wrong-one-of-somebody" not in told


def test_passwords_of_the_configuration_are_told_to_nobody(broker_url: str) -> None:
    """Also not by an error of the server they are for."""
    config = {
        "databases": {"default": {"database_uri": "postgresql://bank:s3cretword@127.0.0.1:1/bank"}},
        "brokers": {"default": {"uri": broker_url}},
    }
    domain = build_bank(config).domain
    app = create_observatory(domain)
    doors = Doors(app)

    async def asked() -> list[tuple[str, httpx.Response]]:
        async with app.router.lifespan_context(app):
            paths = [path for path, methods in app.openapi()["paths"].items() if "get" in methods]
            plain = [path for path in paths if "{" not in path and path not in ("/stream", "/live")]
            return [(path, await doors._send("GET", path, SELF)) for path in (*plain, "/", "/lanes", "/config")]

    answers = dict(asyncio.run(asked()))
    domain.close()

    assert answers["/api/overview"].json()["verdict"]["level"] == "unknown"
    assert [path for path, answer in answers.items() if "s3cretword" in answer.text] == []
