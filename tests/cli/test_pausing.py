"""`protean lanes pause` and `resume`."""

from __future__ import annotations

import pytest
from tests.cli.conftest import Shop

HANDLER = "CustomerProjector"


@pytest.mark.proves("protean lanes pause", "protean lanes resume")
def test_a_paused_handler_is_shown_with_who_why_and_until_when_and_goes_on(shop: Shop) -> None:
    done = shop.protean("lanes", "pause", HANDLER, "--reason=wrong code", "--minutes=5", "--yes")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{HANDLER} rests on the backfill lane until ")
    status = shop.protean("lanes", "status")
    assert f"{HANDLER} is paused on customer:backfill until " in status.stdout + status.stderr
    told = shop.json("lanes", "status")
    paused = [each["paused"] for lane in told["lanes"] for each in lane["groups"] if each["handler"] == HANDLER]
    assert [each["reason"] for each in paused if each is not None] == ["wrong code"]

    assert shop.protean("lanes", "resume", HANDLER).stdout == f"{HANDLER} goes on with the backfill lane\n"
    assert shop.json("lanes", "resume", HANDLER) == {"handler": HANDLER, "lane": "backfill", "resumed": False}


def test_a_pause_is_confirmed_and_needs_a_reason(shop: Shop) -> None:
    assert "--reason" in shop.protean("lanes", "pause", HANDLER).stderr

    asked = shop.protean("lanes", "pause", HANDLER, "--reason=x")

    assert asked.returncode == 2
    assert "add --yes if it is meant" in asked.stderr
    assert all(each["paused"] is None for lane in shop.json("lanes", "status")["lanes"] for each in lane["groups"])
