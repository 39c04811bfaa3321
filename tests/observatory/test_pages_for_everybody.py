"""Pages for those who do not see them, see them badly, or use no mouse: what axe finds, in every state and colour."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.observatory.conftest import PATIENCE, Watched
from tests.observatory.test_actions import letters
from tests.server.conftest import Cluster

from protean.server.control import Controls
from protean.server.observatory.rendering import NAVIGATION

pytestmark = pytest.mark.browser

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
PAGES = ["/" if key == "overview" else f"/{key}" for key, _, _ in NAVIGATION]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def violations(tab: Page) -> list[str]:
    """Each as rule, element and why, in light and in dark."""
    found = []
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of two words
        told: list[dict[str, Any]] = tab.evaluate(
            "async (rules) => (await axe.run(document, {...rules, resultTypes: ['violations']})).violations", RULES
        )
        found += [
            f"{tab.url} {scheme} {each['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
            for each in told
            for node in each["nodes"]
        ]
    return found


@pytest.fixture
def looked(browser: Browser, watched: Watched) -> Callable[..., list[str]]:
    def look(address: str, opened: str = "", width: int = 1280) -> list[str]:
        tab = browser.new_page(viewport={"width": width, "height": 800}, reduced_motion="reduce")
        tab.set_default_timeout(PATIENCE)
        tab.goto(f"{watched.url}{address}")
        expect(tab.locator("#connection")).to_have_text("live", timeout=PATIENCE)
        if opened:
            tab.locator(opened).first.click()
        tab.evaluate(AXE)
        found = violations(tab)
        tab.close()
        return found

    return look


def test_nothing_keeps_anybody_out_of_an_empty_start(looked: Callable[..., list[str]]) -> None:
    found = [each for address in ("/", "/workers", "/dlq", "/operations") for each in looked(address)]

    assert not found, "\n".join(found)


def test_nothing_keeps_anybody_out_where_there_is_much_to_see(
    looked: Callable[..., list[str]], watched: Watched, cluster: Cluster
) -> None:
    cluster.config["server"]["retry"] = {"max_retries": 0}
    for number in range(3):
        cluster.bank.open(f"a{number}")
    cluster.start(fails={"a0", "a1"})
    letters(cluster, 2)
    Controls(cluster.bank.domain).pause(
        "Postman", "primary", reason="no stamps", actor="Ada", lasting=timedelta(hours=1)
    )
    entry = watched.json("/api/dlq/entries")["entries"][0]
    more = [f"/dlq/{entry['place']}", f"/messages/{entry['message_id']}", "/messages/nonsense"]
    more += ["/config?type=Opened&priority=-50", "/config?type=Opend&priority=0"]

    found = [each for address in (*PAGES, *more) for each in looked(address)]
    found += [each for address in ("/", "/lanes", "/dlq", "/flow") for each in looked(address, width=390)]
    for address, opened in (
        ("/lanes", "[data-act=pause]"),
        ("/dlq", "[data-decide=discard]"),
        ("/dlq", "[data-decide=replay]"),
        ("/", "#show-keys"),
        (more[1], "[data-reveal]"),
    ):
        found += looked(address, opened)

    assert not found, "\n".join(found)
