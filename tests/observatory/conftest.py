"""The Observatory over a real engine, served on a port of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from tests.server.conftest import Cluster, wait_for
from tests.support.bank import build_bank

from protean.server.observatory.app import Access, create_observatory

__all__ = ["wait_for"]

#: Milliseconds that a page may take to show something. Generous: shared machines stand still at times.
PATIENCE = 60_000


@dataclass
class Watched:
    """A cluster, and an Observatory of it. `url` has no slash at its end."""

    cluster: Cluster
    url: str
    client: httpx.Client

    def json(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


class _Server(uvicorn.Server):
    """One that leaves signals to the test run."""

    def install_signal_handlers(self) -> None:
        """None: this is not the main thread."""


@pytest.fixture
def cluster(database_url: str, broker_url: str) -> Iterator[Cluster]:
    config = {
        "databases": {"default": {"database_uri": database_url}},
        "brokers": {"default": {"uri": broker_url}},
        "server": {"priority_lanes": {"enabled": True}, "retry": {"base_delay": 0.05, "max_delay": 0.2}},
    }
    cluster = Cluster(config, build_bank(config))
    cluster.bank.domain.database()
    yield cluster
    cluster.stop()
    cluster.bank.domain.close()


@pytest.fixture
def observe(cluster: Cluster) -> Iterator[Callable[..., Watched]]:
    """Serve an Observatory with this access, until the test is over; `config`: of its own, not the cluster's.

    `build` makes the domain that is observed, if it is not the bank.
    """
    running: list[tuple[_Server, threading.Thread, Any, httpx.Client]] = []

    def start(
        access: Access | None = None,
        config: dict[str, Any] | None = None,
        build: Callable[[dict[str, Any]], Any] = build_bank,
        **options: Any,
    ) -> Watched:
        domain = build(config or cluster.config).domain
        listening = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        settings = uvicorn.Config(
            create_observatory(domain, access or Access()), log_level="warning", timeout_graceful_shutdown=1, **options
        )
        server = _Server(settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        wait_for(lambda: server.started)
        client = httpx.Client(base_url=url, timeout=30.0)
        running.append((server, thread, domain, client))
        return Watched(cluster, url, client)

    yield start
    for server, thread, domain, client in running:
        client.close()
        server.should_exit = True
        thread.join(20.0)
        assert not thread.is_alive()
        domain.close()


@pytest.fixture
def watched(observe: Callable[..., Watched]) -> Watched:
    return observe()


def events(watched: Watched, path: str, count: int, headers: dict[str, str] | None = None) -> list[dict[str, str]]:
    """The first so many server-sent events of a stream, as their fields."""
    found: list[dict[str, str]] = []
    deadline = time.monotonic() + 60.0
    with watched.client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        event: dict[str, str] = {}
        for line in answer.iter_lines():
            assert time.monotonic() < deadline, found
            if line and not line.startswith(":"):
                name, _, value = line.partition(":")
                event[name] = value.strip()
            elif event:
                found.append(event)
                event = {}
            if len(found) == count:
                break
    return found


@pytest.fixture(scope="module")  # not longer: its thread has a running event loop, which other tests must not have
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A page that complains of nothing, and asks nobody but its own server."""
    tab = browser.new_page(viewport={"width": 1280, "height": 800})
    tab.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    tab.on("request", lambda asked: complaints.append(asked.url) if "//127.0.0.1:" not in asked.url else None)
    yield tab
    tab.close()
    assert not complaints
