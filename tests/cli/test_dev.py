"""`protean dev`: one terminal, no installed servers."""

from __future__ import annotations

import signal
from urllib.request import urlopen

import pytest
from tests.cli.conftest import Shop, eventually

from protean.adapters.embedded import status, stop


def test_the_observatory_ends_with_a_dev_that_is_killed(bare_shop: Shop) -> None:
    home = bare_shop.folder / ".protean"
    try:
        dev = bare_shop.start("dev")
        dev.printed("Observatory of ", within=60)
        children = dev.children()
        assert any("observatory" in child.cmdline() for child in children)

        dev.process.kill()

        eventually(lambda: not any(child.is_running() for child in children))
    finally:
        stop(home)


@pytest.mark.proves("protean dev")
def test_dev_starts_embedded_servers_and_the_engine_and_ends_with_ctrl_c(bare_shop: Shop) -> None:
    home = bare_shop.folder / ".protean"
    try:
        dev = bare_shop.start("dev")
        dev.printed("Runs      CustomerProjector on customer, customer:backfill", within=60)
        eventually(lambda: dev.count("serves") == 2)
        assert {server.name for server in status(home)} == {"postgresql", "valkey"}
        for server in status(home):
            assert dev.count(f"URI       {server.name}: {server.uri}") == 1
        bare_shop.register("Ada")
        dev.printed("-- acked")
        said = dev.printed("Observatory of ")
        children = dev.children()
        with urlopen(said.rpartition(" ")[2].strip()) as page:
            assert b"<title>" in page.read()

        dev.process.send_signal(signal.SIGINT)

        assert dev.ended() == 0
        assert not any(child.is_running() for child in children)
    finally:
        stop(home)


def test_dev_with_configured_servers_shows_them_without_passwords(shop: Shop, database_url: str) -> None:
    dev = shop.start("dev")

    eventually(lambda: dev.count("serves") == 2)
    assert dev.count("Database  default: postgresql") == 1

    dev.process.terminate()
    assert dev.ended() == 0
