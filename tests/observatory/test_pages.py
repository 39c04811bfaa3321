"""The pages as they are served: what they say without scripts, what they need, and where they lead."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from html.parser import HTMLParser

import httpx
import pytest
from fastapi import FastAPI, Request
from tests.observatory.conftest import Watched
from tests.server.conftest import Cluster, wait_for

from protean.server.observatory.app import Access, create_observatory
from protean.server.observatory.judging import unknown
from protean.server.observatory.rendering import NAVIGATION, STATIC, TEMPLATES, Renderer, static_files
from protean.server.observatory.sessions import Role, Session
from protean.server.observatory.snapshot import Snapshot
from protean.utils.processing import Priority, processing_priority

#: Bytes of all files that pages need, together.
BUDGET = 300 * 1024
#: Addresses that are names, and never asked for.
NAMES = ("http://www.w3.org/2000/svg", "https://github.com/leeoniya/uPlot")

STANDING = [key for key, _, _ in NAVIGATION]


class Elements(HTMLParser):
    """The addresses on a page, and the text of what is kept fresh, by its path."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: set[str] = set()
        self.texts: dict[str, str] = {}
        self._path: str | None = None
        self._templates = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._templates += tag == "template"
        assert "style" not in given, f"{tag} has a style, which the page's own policy forbids"
        assert not [name for name in given if name.startswith("on")], given
        self.addresses |= {value for name in ("href", "src") if (value := given.get(name)) is not None}
        self._path = given.get("data-text")

    def handle_endtag(self, tag: str) -> None:
        self._templates -= tag == "template"

    def handle_data(self, data: str) -> None:
        if self._path is not None and not self._templates:
            self.texts.setdefault(self._path, data)
            self._path = None


def page(watched: Watched, path: str) -> Elements:
    answer = watched.client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    return Elements(answer.text)


def test_pages_say_what_the_engine_does_before_any_script_runs(watched: Watched, cluster: Cluster) -> None:
    cluster.start()
    cluster.bank.open("acc-0")
    with processing_priority(Priority.LOW):
        cluster.bank.deposit("acc-0")
    cluster.settle()
    wait_for(lambda: page(watched, "/subscriptions").texts["handling"] != "–")  # noqa: RUF001  # as on the page

    overview = page(watched, "/").texts
    assert overview["overview.verdict.text"].startswith("Production is well: p95 ")
    assert overview["overview.production.answer"].endswith("there is no before to compare with yet")
    assert overview["overview.backfill.answer"] == "Backfill is done"
    assert overview["totals.all.dead"] == "0"
    lanes = watched.client.get("/lanes").text
    assert re.findall(r'data-item="(\w*)"', lanes) == [
        "",
        "",
        "account",
        "",
        *["LedgerProjector", "OwnerProjector", "Postman"],
    ]
    assert page(watched, "/lanes").texts["primary.outbox"] == "0"
    assert page(watched, "/workers").texts["served.backfill"] == "1"
    assert 'data-lane="backfill"' in watched.client.get("/backfills").text
    way = watched.client.get("/config?type=Deposited&priority=-50").text
    assert "account:backfill" in way
    assert "priority -50 is below the threshold 0" in way
    for asked in ("type=Depositd&priority=0", "type=Deposited&priority=much", "type=Deposited&priority=9000"):
        assert 'role="alert"' in watched.client.get(f"/config?{asked}").text, asked


def test_everything_that_pages_lead_to_is_there_and_is_ours(watched: Watched) -> None:
    found: set[str] = set()
    for key in STANDING:
        found |= page(watched, "/" if key == "overview" else f"/{key}").addresses

    assert {"/", "/lanes", "/flow"} <= found
    for address in found - {"#content"}:
        assert address.startswith("/"), address
        assert watched.client.get(address).status_code == 200, address
    scripts = [path for path in static_files() if path.endswith(".js") and "/" not in path]
    version = Renderer("bank", lambda: Snapshot(at=datetime.now(UTC), verdict=unknown(["?"]))).version
    for script in scripts:
        for imported in re.findall(r'from "\./([\w.]+)"', (STATIC / script).read_text()):
            assert watched.client.get(f"/static/{version}/{imported}").status_code == 200, f"{script}: {imported}"


def test_a_first_start_says_what_to_do(watched: Watched) -> None:
    assert "But no engine is running" in watched.client.get("/").text
    assert '<table hidden data-show="engines.length">' in watched.client.get("/workers").text


def test_files_are_kept_for_ever_under_the_address_of_their_version_only(watched: Watched) -> None:
    (address,) = [each for each in page(watched, "/").addresses if each.endswith("observatory.css")]
    answer = watched.client.get(address)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("text/css")
    version = address.split("/")[2]

    assert watched.client.get(address.replace(version, "0" * 12)).headers["cache-control"] == "no-store"
    for path in ("nothing.js", "%2e%2e/rendering.py", "%2e%2e%2frendering.py", "vendor"):
        assert watched.client.get(f"/static/{version}/{path}").status_code == 404, path


def test_whoever_may_only_look_is_shown_no_buttons(observe: Callable[..., Watched]) -> None:
    watched = observe(Access({Role.READ_ONLY: "a-token-for-those-who-look"}))
    watched.client.get("/?token=a-token-for-those-who-look")

    text = watched.client.get("/lanes").text

    assert "may look only" in text
    assert "data-act" not in text
    assert '<meta name="csrf" content="">' in text


def test_it_can_be_mounted_under_a_prefix(cluster: Cluster) -> None:
    inner = create_observatory(cluster.bank.domain)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with inner.router.lifespan_context(inner):
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/ops/observatory", inner)

    async def look() -> None:
        transport = httpx.ASGITransport(outer)
        async with (
            outer.router.lifespan_context(outer),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            found = Elements((await client.get("/ops/observatory/")).text)
            assert "/ops/observatory/lanes" in found.addresses
            assert '<meta name="base" content="/ops/observatory">' in (await client.get("/ops/observatory/lanes")).text
            for address in found.addresses - {"#content"}:
                assert address.startswith("/ops/observatory/"), address
                assert (await client.get(address)).status_code == 200, address

    asyncio.run(look())


def test_a_server_that_does_not_answer_is_named_with_the_time_since_when() -> None:
    snapshot = Snapshot(
        at=datetime(2026, 1, 2, 12, 5, tzinfo=UTC),
        verdict=unknown(["the database does not answer"]),
        errors=["the database does not answer"],
        failing_since=datetime(2026, 1, 2, 12, 1, tzinfo=UTC),
    )
    request = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "root_path": ""})
    request.state.session = Session(Role.ALL, "somebody <b>")

    answer = Renderer("bank", lambda: snapshot).page(request, "overview.html", page="overview")

    text = bytes(answer.body).decode()
    assert Elements(text).texts["overview.trouble"] == "the database does not answer; so it has been since 12:01:00 UTC"
    assert "<b>Figures are as they last were.</b>" in text
    assert "somebody &lt;b&gt;" in text


def test_all_files_together_are_light() -> None:
    assert sum(file.stat().st_size for file in static_files().values()) < BUDGET


@pytest.mark.parametrize("folder", [STATIC, TEMPLATES], ids=["static", "templates"])
def test_no_file_asks_another_site_for_anything(folder: object) -> None:
    files = list(static_files().values()) if folder is STATIC else sorted(TEMPLATES.iterdir())
    assert files
    for file in files:
        text = file.read_text()
        for name in NAMES:
            text = text.replace(name, "")
        assert not re.findall(r"(?:https?:|wss?:)?//[\w-]+\.\w+", text), file.name
        assert "innerHTML" not in text or "vendor" in str(file), file.name
