"""What people do on the pages, from the first key to what came of it, and what they see when a server is away."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.adapters.broker.network import Network
from tests.observatory.conftest import PATIENCE, Watched
from tests.observatory.test_actions import letters
from tests.server.conftest import Cluster

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _patience() -> None:
    expect.set_options(timeout=PATIENCE)


@pytest.fixture
def failing(cluster: Cluster) -> Cluster:
    """Three accounts whose opening nobody can book."""
    cluster.config["server"]["retry"] = {"max_retries": 0}
    for number in range(3):
        cluster.bank.open(f"a{number}")
    cluster.start(fails={"a0", "a1", "a2", "a3"})
    letters(cluster, 3)
    return cluster


def test_a_group_is_replayed_by_keyboard_and_others_see_it(
    failing: Cluster, watched: Watched, browser: Browser, tab: Page
) -> None:
    other = browser.new_page()
    other.goto(f"{watched.url}/lanes")
    badge = other.locator('nav [data-text="totals.all.dead"]')
    expect(badge).to_have_text("3")
    tab.goto(f"{watched.url}/dlq")
    expect(tab.locator("#connection")).to_have_text("live")
    button = tab.locator("tbody [data-decide=replay]").first
    button.focus()
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Tab")
    assert button.evaluate("(e) => document.activeElement === e && getComputedStyle(e).outlineStyle") == "solid"
    tab.keyboard.press("Enter")
    dialog = tab.locator("#deciding")
    expect(dialog).to_contain_text("Replay 3 of LedgerProjector?")
    tab.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert button.evaluate("(e) => document.activeElement === e")

    failing.banks[0].fails = {"a1"}
    tab.keyboard.press("Enter")
    tab.keyboard.type("2")
    tab.keyboard.press("Enter")
    expect(dialog.locator(".error")).to_contain_text("Type 3 to confirm")
    tab.locator("#deciding [name=count]").fill("3")
    tab.keyboard.press("Enter")

    expect(dialog.locator("[role=status]")).to_have_text("2 succeeded, 1 failed again")
    dialog.locator("[data-close]").press("Enter")
    expect(badge).to_have_text("1")
    expect(tab.locator("#entries tbody tr")).to_have_count(1)
    other.close()


def test_what_changed_since_it_was_shown_is_not_done(failing: Cluster, watched: Watched, browser: Browser) -> None:
    tab = browser.new_page()  # not `tab`, which complains of the 409
    tab.goto(f"{watched.url}/dlq")
    tab.locator(".all [data-decide=discard]").click()
    tab.locator("#deciding [name=count]").fill("3")
    failing.bank.open("a3")
    letters(failing, 4)
    tab.keyboard.press("Enter")
    expect(tab.locator("#deciding")).to_be_visible()  # not without a reason
    tab.locator("#deciding [name=reason]").fill("a test")
    tab.keyboard.press("Enter")
    expect(tab.locator("#deciding .error")).to_contain_text("there are 4 now, not 3")
    letters(failing, 4)
    tab.close()


def test_one_is_discarded_with_a_reason_and_its_data_shown_and_both_are_on_record(
    failing: Cluster, watched: Watched, tab: Page
) -> None:
    tab.goto(f"{watched.url}/dlq")
    tab.locator("#entries a").first.click()
    tab.get_by_text("its times, attempts and family").click()
    tab.locator("[data-reveal]").click()
    expect(tab.locator("#data pre")).to_contain_text('"account_id": "a')
    tab.go_back()
    tab.locator("[data-decide=discard]").click()
    tab.locator("#deciding [name=reason]").fill("a test booking")
    tab.keyboard.press("Enter")
    expect(tab.locator("#deciding [role=status]")).to_have_text("1 discarded")
    letters(failing, 2)
    tab.goto(f"{watched.url}/operations")
    expect(tab.locator("#operations")).to_contain_text("a test booking")
    expect(tab.locator("#operations")).to_contain_text("its data was shown")


def test_the_page_says_which_server_is_away_and_goes_on_when_it_is_back(
    cluster: Cluster, observe: Callable[..., Watched], database_url: str, tab: Page
) -> None:
    network = Network(cluster.config["brokers"]["default"]["uri"])
    tab.goto(f"{observe(config={**cluster.config, 'brokers': {'default': {'uri': network.url}}}).url}/lanes")
    expect(tab.locator("#connection")).to_have_text("live")
    trouble = tab.locator(".notice.bad")

    network.freeze()
    expect(trouble).to_contain_text("so it has been since")
    network.reset()
    expect(trouble).to_be_hidden()

    name = urlsplit(database_url).path.removeprefix("/")
    admin = database_url.replace("+psycopg", "").replace(f"/{name}", "/postgres", 1)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        expect(trouble).to_contain_text("so it has been since")
        connection.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    expect(trouble).to_be_hidden()
    cluster.bank.open("a")
    expect(tab.locator('[data-item="account"] [data-text="primary.outbox"]')).to_have_text("1")
    network.close()
