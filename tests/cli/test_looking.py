"""`protean lanes status` and `protean outbox status`: figures that agree with what is there."""

from __future__ import annotations

import json
import signal

import pytest
from redis import Redis
from tests.cli.conftest import Shop, eventually
from tests.cli.test_db import on_terminal


def test_what_is_written_and_not_relayed_shows_as_outbox_of_its_lane(shop: Shop) -> None:
    shop.register("Ada")
    shop.register("Bob", "Eve", priority=-50)

    status = shop.json("lanes", "status")

    assert [(lane["lane"], lane["stream"], lane["outbox"]) for lane in status["lanes"]] == [
        ("primary", "customer", 1),
        ("backfill", "customer:backfill", 2),
    ]
    assert status["drained"] is False
    assert status["engines"] == []
    assert all(lane["oldest"] >= 0 and not lane["drained"] for lane in status["lanes"])


def test_a_backlog_on_the_stream_shows_as_lag_and_length(shop: Shop, broker_url: str) -> None:
    shop.protean("db", "setup")
    with Redis.from_url(broker_url) as broker:
        for _ in range(3):
            broker.xadd("customer:backfill", {"data": "{}"})
        broker.xgroup_create("customer:backfill", "CustomerProjector", id="0")
        broker.xreadgroup("CustomerProjector", "somebody", {"customer:backfill": ">"}, count=1)

    primary, backfill = shop.json("lanes", "status")["lanes"]

    assert (backfill["length"], backfill["lag"], backfill["pending"]) == (3, 2, 1)
    assert backfill["drained"] is False
    assert 0 <= backfill["oldest"] < 60
    assert primary["drained"] is True


def test_a_stream_without_its_group_is_not_drained_although_nothing_is_pending(shop: Shop, broker_url: str) -> None:
    shop.protean("db", "setup")
    with Redis.from_url(broker_url) as broker:
        broker.xadd("customer:backfill", {"data": "{}"})

    backfill = shop.json("lanes", "status")["lanes"][1]

    assert backfill["groups"] == [
        {"handler": "CustomerProjector", "exists": False, "lag": 1, "pending": 0, "paused": None, "consumers": 0}
    ]
    assert backfill["drained"] is False


@pytest.mark.proves("protean lanes status")
def test_after_everything_is_handled_the_lanes_are_drained(shop: Shop) -> None:
    shop.server()
    shop.register("Ada")
    shop.register("Bob", priority=-50)

    eventually(lambda: bool(shop.json("lanes", "status")["drained"]))
    status = shop.json("lanes", "status")

    assert len(status["engines"]) == 2
    assert all(lane["length"] == lane["lag"] == lane["pending"] == 0 for lane in status["lanes"])
    assert {row["status"]: row["rows"] for row in shop.json("outbox", "status")["outbox"]} == {"published": 1}
    done = shop.protean("lanes", "status")
    assert done.stdout.splitlines()[0].split() == [
        *("STREAM", "LANE", "OUTBOX", "XLEN", "LAG", "PENDING", "OLDEST", "WAITING", "BLOCKED", "DLQ", "DRAINED")
    ]
    assert done.stdout.splitlines()[1].split() == ["customer", "primary", *"0000", "-", *"000", "yes"]
    assert done.stdout.splitlines()[3] == "2 engine processes running"


def test_without_an_engine_the_status_says_so(shop: Shop) -> None:
    done = shop.protean("lanes", "status")

    assert "No engine is running: start it with `protean server`" in done.stdout


def test_what_is_left_on_a_lane_that_was_turned_off_is_shown(shop: Shop, broker_url: str) -> None:
    shop.configure(("enabled = true\nthreshold = 0              #", "enabled = false\nthreshold = 0 #"))
    with Redis.from_url(broker_url) as broker:
        broker.xadd("customer:backfill", {"data": "{}"})

    done = shop.protean("lanes", "status")

    assert "1 message on customer:backfill, a lane that is turned off: nobody reads them" in done.stdout
    assert "turn the lane on again, or send what is not handled by the primary lane" in done.stdout
    assert "`protean outbox republish --since=" in done.stdout


def test_dead_letters_of_a_lane_that_was_turned_off_are_shown_although_its_stream_is_empty(
    failing_shop: Shop,
) -> None:
    server = failing_shop.server()
    failing_shop.register("Ada", priority=-50)
    server.printed("dead after 1 attempt:")
    eventually(lambda: failing_shop.json("lanes", "status")["lanes"][1]["dead"] == 1)
    server.process.terminate()
    server.ended()
    failing_shop.configure(("enabled = true\nthreshold = 0              #", "enabled = false\nthreshold = 0 #"))

    status = failing_shop.json("lanes", "status")

    assert [(lane["stream"], lane["dead"], lane["served"]) for lane in status["lanes"]] == [
        ("customer", 0, True),
        ("customer:backfill", 1, False),
    ]
    assert status["drained"] is False
    said = failing_shop.protean("lanes", "status").stdout
    assert "1 dead letter of customer:backfill: see `protean dlq list --stream=customer:backfill`" in said
    rows = failing_shop.json("outbox", "status")["outbox"]
    assert [(row["lane"], row["status"], row["rows"]) for row in rows] == [("unknown", "published", 1)]


@pytest.mark.proves("protean outbox status")
def test_the_outbox_is_counted_by_broker_stream_lane_and_status(shop: Shop) -> None:
    assert shop.protean("outbox", "status").stdout == "The outbox is empty.\n"
    shop.register("Ada")
    shop.register("Bob", "Eve", priority=-50)
    shop.register("Fay", priority=-100)

    rows = shop.json("outbox", "status")["outbox"]
    text = shop.protean("outbox", "status").stdout

    assert [(row["broker"], row["stream"], row["lane"], row["status"], row["rows"]) for row in rows] == [
        ("default", "customer", "backfill", "pending", 3),
        ("default", "customer", "primary", "pending", 1),
    ]
    assert all(0 <= row["oldest_pending_age"] < 60 for row in rows)
    assert text.splitlines()[0].split()[:6] == ["DATABASE", "BROKER", "STREAM", "LANE", "STATUS", "ROWS"]
    assert text.splitlines()[1].split()[:6] == ["default", "default", "customer", "backfill", "pending", "3"]


def test_watching_prints_again_every_second_and_ends_with_ctrl_c(shop: Shop) -> None:
    shop.protean("db", "setup")
    for options, line in ((["--json"], '"drained": true'), ([], "DRAINED")):
        watching = shop.start("lanes", "status", "--watch", *options)
        eventually(lambda line=line, watching=watching: watching.count(line) >= 3)  # type: ignore[misc]  # defaults bind

        watching.process.send_signal(signal.SIGINT)

        assert watching.ended() == 0
        assert not any("\x1b" in text or "Traceback" in text for text in watching.lines)
        if options:
            assert all(json.loads(text)["drained"] for text in watching.lines)


def test_piped_output_has_no_escape_sequence_and_no_box(failing_shop: Shop) -> None:
    failing_shop.register("Ada")
    for command in (["lanes", "status"], ["outbox", "status"], ["dlq", "list"], ["--help"], ["dlq", "nonsense"]):
        done = failing_shop.protean(*command)
        assert done.stdout + done.stderr != ""
        assert not set(done.stdout + done.stderr) & set("\x1b│─╭╮")


def test_a_terminal_gets_colour(shop: Shop) -> None:
    shop.env["TERM"] = "xterm-256color"
    shop.protean("db", "setup")

    code, shown = on_terminal(shop, "", "lanes", "status")

    assert code == 0
    assert "\x1b[" in shown
    assert "DRAINED" in shown
