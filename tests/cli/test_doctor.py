"""`protean lanes doctor`: what is wrong, why, what mends it; and mending it."""

from __future__ import annotations

import pytest
from redis import Redis
from tests.cli.conftest import Shop, eventually
from tests.cli.test_db import on_terminal


def leave_an_orphan(broker_url: str, messages: int = 3) -> None:
    with Redis.from_url(broker_url) as broker:
        broker.xgroup_create("customer", "FormerProjector", id="0", mkstream=True)
        for _ in range(messages):
            broker.xadd("customer", {"data": "{}"})


def groups(broker_url: str) -> list[str]:
    with Redis.from_url(broker_url) as broker:
        return [group["name"].decode() for group in broker.xinfo_groups("customer")]


def test_a_server_that_runs_well_gets_a_clean_bill(shop: Shop) -> None:
    server = shop.server()
    eventually(lambda: server.count("serves") == 2)

    done = shop.protean("lanes", "doctor")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Nothing is wrong: identity has engines on every lane, and no message is held up.\n"
    assert shop.json("lanes", "doctor") == {"healthy": True, "findings": []}


@pytest.mark.proves("protean lanes doctor")
def test_each_finding_says_what_why_and_what_to_do_and_the_exit_code_is_1(shop: Shop, broker_url: str) -> None:
    shop.protean("db", "setup")
    leave_an_orphan(broker_url)

    done = shop.protean("lanes", "doctor")

    assert done.returncode == 1
    assert "WRONG   no engine process is running\n        why: " in done.stdout
    assert "        do:  protean server\n" in done.stdout
    assert "customer has a group of FormerProjector, a handler this domain does not have" in done.stdout
    assert "(3 messages)" in done.stdout
    assert "        do:  protean lanes doctor --fix\n" in done.stdout
    assert "\x1b" not in done.stdout


def test_nothing_is_removed_where_nobody_can_confirm_it(shop: Shop, broker_url: str) -> None:
    shop.protean("db", "setup")
    leave_an_orphan(broker_url)

    done = shop.protean("lanes", "doctor", "--fix")

    assert done.returncode == 2
    assert "FormerProjector on customer: 3 messages it has not read" in done.stderr
    assert "add --yes if it is meant" in done.stderr
    assert groups(broker_url) == ["FormerProjector"]


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 1, ["FormerProjector"]), ("y\n", 1, [])])
def test_on_a_terminal_the_doctor_asks_first(
    shop: Shop, broker_url: str, answer: str, code: int, left: list[str]
) -> None:
    shop.protean("db", "setup")
    leave_an_orphan(broker_url)

    ended, shown = on_terminal(shop, answer, "lanes", "doctor", "--fix")

    assert "3 messages it has not read" in shown
    assert ended == code  # no engine is running: that is not mended
    with Redis.from_url(broker_url) as broker:
        there = broker.exists("customer")
    assert (groups(broker_url) if there else []) == left


def test_what_is_mended_is_said_and_the_stream_is_no_longer_held_up(shop: Shop, broker_url: str) -> None:
    server = shop.server()
    eventually(lambda: server.count("serves") == 2)
    leave_an_orphan(broker_url, 0)
    shop.register("Ada")
    server.printed("-- acked")
    assert shop.json("lanes", "status")["lanes"][0]["length"] == 1

    done = shop.protean("lanes", "doctor", "--fix", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("mended   customer has a group of FormerProjector")
    assert groups(broker_url) == ["CustomerProjector"]
    assert shop.json("lanes", "status")["lanes"][0]["length"] == 0
    assert shop.json("lanes", "doctor")["healthy"]


def test_a_group_in_use_is_reported_and_never_removed(shop: Shop, broker_url: str) -> None:
    server = shop.server()
    eventually(lambda: server.count("serves") == 2)
    with Redis.from_url(broker_url) as broker:
        broker.xgroup_create("customer", "TheirProjector", id="0")
        broker.xreadgroup("TheirProjector", "them", {"customer": ">"})
        broker.set("protean:beat:them", '{"domain": "theirs", "lanes": ["primary"]}', ex=60)

    done = shop.protean("lanes", "doctor", "--fix", "--yes")

    assert done.returncode == 1
    assert "; them uses it" in done.stdout
    assert "TheirProjector" in groups(broker_url)


def test_an_engine_of_the_time_before_lanes_leaves_backfill_unserved_and_that_is_found(shop: Shop) -> None:
    shop.configure(("enabled = true\nthreshold = 0              #", "enabled = false\nthreshold = 0              #"))
    shop.server()
    shop.configure(("enabled = false\nthreshold = 0              #", "enabled = true\nthreshold = 0              #"))

    done = shop.protean("lanes", "doctor")

    assert done.returncode == 1
    assert "1 engine process running, none of which serves the backfill lane" in done.stdout
    assert "protean server --lanes=backfill" in done.stdout


def test_what_is_left_on_a_lane_of_another_name_is_shown_and_found(shop: Shop, broker_url: str) -> None:
    shop.protean("db", "setup")
    with Redis.from_url(broker_url) as broker:
        broker.xgroup_create("customer:migration", "CustomerProjector", id="0", mkstream=True)
        broker.xadd("customer:migration", {"data": "{}"})

    status, doctor = shop.protean("lanes", "status"), shop.protean("lanes", "doctor")

    left = "1 message on customer:migration, a lane that is turned off: an engine hands them to CustomerProjector"
    assert left in status.stdout
    assert shop.json("lanes", "status")["drained"] is False
    assert "customer:migration is no lane of this configuration and has messages for CustomerProjector" in doctor.stdout


def test_an_evicting_broker_is_the_first_thing_found(shop: Shop, broker_url: str) -> None:
    with Redis.from_url(broker_url) as broker:
        before = broker.config_get("maxmemory-policy")["maxmemory-policy"]
        broker.config_set("maxmemory-policy", "allkeys-lru")
        try:
            done = shop.protean("lanes", "doctor")
        finally:
            broker.config_set("maxmemory-policy", before)

    assert done.returncode == 1
    assert "eviction policy 'allkeys-lru'" in done.stdout
