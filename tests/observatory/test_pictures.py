"""The pictures of the documentation: a real engine at work on a store, an hour of figures behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.observatory.conftest import PATIENCE, Watched
from tests.observatory.store import Store, build_store
from tests.server.conftest import Cluster, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.pictures]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
#: Bytes of a picture, at most: whoever clones the repository gets all of them.
LARGEST = 150_000
#: File, page, what is clicked, colours, width and height.
PICTURES = [
    ("overview", "/", "", "light", 1280, 660),
    ("overview-dark", "/", "", "dark", 1280, 660),
    ("lanes", "/lanes", "", "light", 1280, 540),
    ("backfills", "/backfills", "", "light", 1280, 720),
    ("dead-letters", "/dlq", "tbody [data-decide=discard]", "light", 1280, 560),
    ("flow", "/flow", "", "dark", 1280, 480),
    ("phone", "/", "", "dark", 390, 780),
]


@pytest.fixture
def store(cluster: Cluster) -> Iterator[Store]:
    cluster.config["server"]["retry"] = {"max_retries": 0}
    store = build_store(cluster.config)
    store.domain.database()
    store.remember_an_hour()
    store.migrate(6_000)
    store.start()
    store.trade()
    store.go_wrong()
    yield store
    store.stop()


def test_pictures_are_taken(observe: Callable[..., Watched], store: Store, cluster: Cluster, browser: Browser) -> None:
    watched = observe(build=build_store)
    wait_for(lambda: watched.json("/api/dlq/groups")["total"] == 5)
    for name, page, click, scheme, width, height in PICTURES:
        store.remember_an_hour()
        tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]  # one of two words
        tab.goto(f"{watched.url}{page}")
        expect(tab.locator("#connection")).to_have_text("live", timeout=PATIENCE)
        if click:
            tab.locator(click).first.click()
        if name == "flow":
            expect(tab.locator(".steps tbody tr").nth(30)).to_be_visible(timeout=PATIENCE)
        tab.wait_for_timeout(1_500)
        file = IMAGES / f"observatory-{name}.png"
        tab.screenshot(path=file)
        tab.close()
        assert file.stat().st_size < LARGEST, file.name
