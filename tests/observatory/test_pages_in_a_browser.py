"""The pages as people see them: with their scripts, in Chromium, over a real engine."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.observatory.conftest import PATIENCE, Watched
from tests.server.conftest import Cluster

from protean.deliver.lanes import Lane
from protean.server.lane_report import LaneReport
from protean.server.observatory import formats, views
from protean.server.observatory.documents import live_of
from protean.server.observatory.history import Percentiles
from protean.server.observatory.rendering import NAVIGATION
from protean.server.observatory.snapshot import (
    HandlerFigures,
    LaneFigures,
    Level,
    MinuteFigures,
    Snapshot,
    Verdict,
    Worker,
)
from protean.utils.processing import Priority, processing_priority

pytestmark = pytest.mark.browser

VALUES: list[tuple[Any, str]] = [
    *[(value, "count") for value in (0, 7, 9331, 487231)],
    *[(value, "rate") for value in (0, 0.02, 0.5, 9.96, 12345.6)],
    *[(value, "ms") for value in (0.04, 4.25, 4.75, 9.96, 12.5, 812, 999.6, 39800)],
    *[(value, "s") for value in (0.3, 41, 89.4, 90, 5399, 9000)],
    *[(value, "eta") for value in ([0, 0], [0.4, 0.8], [12.6, 23.4], [100, 200], [6000, 9000])],
    ({"p50_ms": 3.14, "p95_ms": 45, "p99_ms": 39800.4}, "percentiles"),
    ({"p50_ms": 3.14, "p95_ms": 45, "p99_ms": 39800.4}, "trio"),
    ("2026-01-02T03:04:05.678Z", "clock"),
    ("2026-01-02T03:04:05.678Z", "moment"),
    (None, "count"),
    ("", "text"),
]


@pytest.fixture(autouse=True)
def _patience() -> None:
    expect.set_options(timeout=PATIENCE)


def test_every_page_is_alive_fits_any_width_and_breaks_no_rule(watched: Watched, cluster: Cluster, tab: Page) -> None:
    cluster.start()
    cluster.bank.open("acc-0")
    with processing_priority(Priority.LOW):
        cluster.bank.deposit("acc-0")

    for key, label, _ in NAVIGATION:
        tab.goto(f"{watched.url}/{'' if key == 'overview' else key}")
        expect(tab.locator("#connection")).to_have_text("live")
        expect(tab.locator("nav [aria-current]")).to_contain_text(label)
        for width in (1280, 390):
            tab.set_viewport_size({"width": width, "height": 800})
            assert not tab.evaluate("document.documentElement.scrollWidth > innerWidth"), (key, width)


def test_figures_change_without_a_reload(watched: Watched, cluster: Cluster, tab: Page) -> None:
    tab.goto(f"{watched.url}/lanes")
    outbox = tab.locator('[data-item="account"] [data-text="primary.outbox"]')
    expect(outbox).to_have_text("0")

    cluster.bank.open("acc-0")

    expect(outbox).to_have_text("1")
    expect(tab.locator(".verdict")).to_have_text("No engine is running, and messages wait")


def test_the_flow_stands_still_while_somebody_reads(watched: Watched, cluster: Cluster, tab: Page) -> None:
    cluster.start()
    tab.goto(f"{watched.url}/flow?event=handler.completed")
    expect(tab.locator("#flow-state")).to_have_text("live")
    numbers = iter(range(10_000))
    while not tab.locator("tbody tr").count():  # engines notice within a second or so that somebody looks
        cluster.bank.open(f"acc-{next(numbers)}")
        tab.wait_for_timeout(100)
    expect(tab.locator("tbody tr").first).to_contain_text("completed")

    tab.keyboard.press("Space")
    expect(tab.locator("#flow-state")).to_have_text("frozen")
    shown = tab.locator("tbody tr").count()
    cluster.bank.open("late-0")
    cluster.bank.open("late-1")
    expect(tab.locator("#flow-news")).to_contain_text("new")
    assert tab.locator("tbody tr").count() == shown
    tab.locator("#flow-news").click()
    assert tab.locator("tbody tr").count() > shown


def test_keys_lead_to_pages_to_help_and_to_the_filter(watched: Watched, tab: Page) -> None:
    tab.goto(f"{watched.url}/")
    expect(tab.locator("#show-keys")).to_be_visible()
    tab.keyboard.press("?")
    expect(tab.locator("#keys")).to_be_visible()
    tab.keyboard.press("Escape")
    tab.keyboard.press("g")
    tab.keyboard.press("l")
    tab.wait_for_url("**/lanes")
    expect(tab.locator("#connection")).to_have_text("live")

    tab.keyboard.press("/")
    tab.keyboard.type("no such stream")

    expect(tab.locator('[data-item="account"]')).to_be_hidden()
    assert tab.url.endswith("?q=no+such+stream")


def test_a_handler_is_paused_and_let_go_on(watched: Watched, cluster: Cluster, tab: Page) -> None:
    tab.goto(f"{watched.url}/lanes")
    row = tab.locator('tr[data-item="LedgerProjector"]')
    row.locator('[data-act="pause"][data-lane="backfill"]').click()
    tab.locator("#pausing [name=reason]").fill("a migration of the ledger")
    tab.locator("#pausing .act").click()

    expect(row).to_contain_text("backfill paused until")
    expect(row).to_contain_text("a migration of the ledger")

    row.locator('[data-act="resume"][data-lane="backfill"]').click()
    tab.locator("#pausing .act").click()
    expect(row).not_to_contain_text("a migration", use_inner_text=True)


def test_a_page_without_news_says_so(watched: Watched, browser: Browser) -> None:
    tab = browser.new_page()
    tab.clock.install()
    tab.route("**/live", lambda route: route.abort())
    tab.goto(f"{watched.url}/")
    expect(tab.locator("#show-keys")).to_be_visible()
    tab.clock.fast_forward(60_000)

    expect(tab.locator("#stale")).to_contain_text("No news for", timeout=PATIENCE)
    tab.unroute("**/live")
    expect(tab.locator("#stale")).to_be_hidden(timeout=PATIENCE)
    tab.close()


def test_scripts_show_what_the_server_shows(watched: Watched, tab: Page) -> None:
    tab.goto(f"{watched.url}/")
    folder = tab.locator("script[type=module]").first.get_attribute("src") or ""
    folder = folder.removesuffix("app.js")

    shown = tab.evaluate(
        "async ([folder, values]) => { const { show } = await import(`${folder}format.js`);"
        " return values.map(([value, kind]) => show(value, kind)); }",
        [folder, VALUES],
    )
    assert shown == [formats.show(value, kind) for value, kind in VALUES]

    snapshot = a_snapshot()
    shaped = tab.evaluate(
        "async ([folder, live]) => (await import(`${folder}shape.js`)).shape(live)",
        [folder, json.loads(live_of(snapshot).model_dump_json())],
    )
    expected = views.live(snapshot)
    assert expected.pop("charts")  # with scripts there are real ones
    assert shaped == expected


def a_snapshot() -> Snapshot:
    """A domain with two streams and both lanes, of which one has failed at something."""
    latency = Percentiles(3, 0.003, 0.004, 0.006)

    def lane(category: str, lane: Lane, dead: int) -> LaneFigures:
        stream = category if lane is Lane.PRIMARY else f"{category}:backfill"
        report = LaneReport(
            stream=stream,
            category=category,
            lane=lane,
            served=True,
            outbox=1,
            given_up=0,
            length=0,
            groups=(),
            oldest=0.5,
            waiting=2,
            blocked=0,
            blocked_at_least=False,
            dead=dead,
        )
        handlers = [HandlerFigures(name, True, 0, 1, latency, None) for name in ("A", "B")]
        return LaneFigures(report, latency, 1.5, [0.0, 1.0, 1.5], handlers)

    now = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return Snapshot(
        at=now,
        verdict=Verdict(Level.GOOD, "fine"),
        lanes=[lane(category, each, 3) for category in ("account", "customer") for each in Lane],
        series=[MinuteFigures(now, 1.0, 0.0, None), MinuteFigures(now, 1.0, 2.0, 0.004)],
        workers=[Worker("a.host.17.ab", ("primary", "backfill")), Worker("a.host.18.cd", ("primary",))],
    )
