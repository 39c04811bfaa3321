"""`protean observatory`: where it listens, and whom it lets in."""

from __future__ import annotations

import re
import signal
import stat

import httpx
import pytest
from tests.cli.conftest import Shop


def address(shop: Shop, *arguments: str) -> str:
    """Start it on a free port; the address that it prints."""
    running = shop.start("observatory", "--port=0", *arguments)
    found = re.search(r"http://\S+:\d+", running.printed("Observatory of ", within=40))
    assert found is not None
    return found[0]


@pytest.mark.proves("protean observatory")
def test_it_prints_where_it_is_answers_there_and_ends_in_good_order(shop: Shop) -> None:
    url = address(shop)

    answer = httpx.get(f"{url}/api/overview")

    assert answer.status_code == 200
    assert answer.json()["verdict"]["level"] == "good"
    (running,) = shop.running
    running.process.send_signal(signal.SIGINT)
    assert running.ended() == 0


def test_a_token_is_made_for_ones_own_eyes_and_asked_for(shop: Shop) -> None:
    url = address(shop, "--token-file=token")
    file = shop.folder / "token"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert httpx.get(f"{url}/api/overview").status_code == 401
    with httpx.Client(follow_redirects=True) as browser:
        entered = browser.get(f"{url}/api/overview?token={file.read_text().strip()}")
    assert entered.status_code == 200
    assert "token" not in str(entered.url)


def test_what_others_could_reach_is_refused_without_a_token(shop: Shop) -> None:
    refused = shop.protean("observatory", "--host=0.0.0.0")

    assert refused.returncode == 2
    assert "give --token-file=FILE" in refused.stderr


def test_a_token_that_can_be_guessed_is_refused(shop: Shop) -> None:
    (shop.folder / "token").write_text("secret\n")

    refused = shop.protean("observatory", "--token-file=token")

    assert refused.returncode == 2
    assert "must be at least 24 letters" in refused.stderr
    assert "secret" not in refused.stderr


def test_a_port_that_is_taken_is_said(shop: Shop) -> None:
    port = address(shop).rpartition(":")[2]

    refused = shop.protean("observatory", f"--port={port}")

    assert refused.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr


def test_what_is_no_token_file_is_refused_in_a_sentence(shop: Shop) -> None:
    (shop.folder / "folder").mkdir()
    (shop.folder / "bytes").write_bytes(b"\xff" * 40)
    (shop.folder / "same").write_text("a" * 40)
    for options, said in (
        (["--token-file=folder"], "cannot be read"),
        (["--token-file=bytes"], "is not text"),
        (["--token-file=same", "--read-token-file=same"], "hold the same token"),
    ):
        told = shop.protean("observatory", *options)
        assert (told.returncode, said in told.stderr, "Traceback" in told.stderr) == (2, True, False), told.stderr
