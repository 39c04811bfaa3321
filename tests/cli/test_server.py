"""`protean server` as real processes, on real servers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.cli.conftest import Shop, eventually

from protean.cli.serving import process_roles
from protean.deliver.lanes import Lane

LANES_LINE = (
    "DEBUG: Initialized priority lanes for CustomerProjector: primary='customer', backfill='customer:backfill'\n"
)
HANDLED_LINE = re.compile(
    r"INFO: \[CustomerProjector\] Processing CustomerRegistered \(ID: [0-9a-f]{8}\.\.\.\) -- acked\n"
)
LANES_OFF = ("enabled = true\nthreshold = 0              #", "enabled = false\nthreshold = 0              #")


@pytest.mark.proves("protean server", "protean server --domain")
def test_a_server_announces_its_lanes_handles_a_message_and_ends_with_nothing_left(shop: Shop) -> None:
    server = shop.server()
    eventually(lambda: server.count("serves") == 2)
    family = [psutil.Process(server.process.pid), *server.children()]

    assert server.printed("Initialized priority lanes") == LANES_LINE
    shop.register("Ada")
    assert HANDLED_LINE.fullmatch(server.printed("-- acked"))

    server.process.terminate()

    assert server.ended() == 0
    assert len(family) == 3
    assert [process for process in family if process.is_running()] == []


def test_both_lanes_are_served(shop: Shop) -> None:
    server = shop.server()
    shop.register("Ada")
    shop.register("Bob", priority=-50)

    eventually(lambda: server.count("-- acked") == 2)


def test_a_child_that_was_killed_is_started_again_and_goes_on(shop: Shop) -> None:
    server = shop.server()
    eventually(lambda: server.count("serves") == 2)
    before = {child.pid for child in server.children()}

    for pid in before:
        os.kill(pid, signal.SIGKILL)

    server.printed("was ended by SIGKILL")
    eventually(lambda: server.count("serves") == 4)
    assert before.isdisjoint(child.pid for child in server.children())
    shop.register("Ada")
    server.printed("-- acked")


def test_the_children_of_a_killed_supervisor_end_by_themselves(shop: Shop) -> None:
    server = shop.server()
    eventually(lambda: server.count("serves") == 2)
    children = server.children()

    server.process.kill()

    _, alive = psutil.wait_procs(children, timeout=15)
    assert len(children) == 2
    assert alive == []


def test_ctrl_c_reaches_everybody_and_ends_everybody_in_order(shop: Shop) -> None:
    server = shop.server()
    eventually(lambda: server.count("serves") == 2)
    children = server.children()

    os.killpg(server.process.pid, signal.SIGINT)

    assert server.ended() == 0
    assert not any(child.is_running() for child in children)
    assert server.count("Traceback") == 0


def test_a_stop_says_what_is_waited_for_how_to_force_it_and_that_it_is_over(shop: Shop) -> None:
    server = shop.server()
    eventually(lambda: server.count("serves") == 2)

    os.killpg(server.process.pid, signal.SIGINT)

    assert server.ended() == 0
    server.close()
    said = [line for line in server.lines if "Stop" in line]
    assert said == [
        "INFO: Stopping: finishing what is in hand, at most 30 s; again to end now\n",
        "INFO: Stopped\n",
    ]


@pytest.mark.parametrize("command", ["server", "dev"])
def test_ctrl_c_while_the_processes_are_still_importing_prints_no_traceback(shop: Shop, command: str) -> None:
    shop.env["PYTHONPROFILEIMPORTTIME"] = "1"  # every module says when it is loaded
    server = shop.start(command)
    eventually(lambda: len(server.children()) == 2)

    os.killpg(server.process.pid, signal.SIGINT)

    assert server.ended() == 0
    server.close()
    assert server.count("Traceback") == server.count("KeyboardInterrupt") == 0, "".join(server.lines)
    assert server.count("serves") == 0


@pytest.mark.proves("protean server --workers")
def test_workers_multiply_the_pair(shop: Shop) -> None:
    server = shop.server("--workers=2")

    eventually(lambda: server.count("serves primary:") == 2)
    eventually(lambda: server.count("serves backfill:") == 2)
    assert len(server.children()) == 4


@pytest.mark.proves("protean server --lanes")
@pytest.mark.parametrize("lane", ["primary", "backfill"])
def test_one_lane_can_be_placed_alone(shop: Shop, lane: str) -> None:
    server = shop.server(f"--lanes={lane}", "--workers=2")

    eventually(lambda: server.count(f"serves {lane}:") == 2)
    assert len(server.children()) == 2
    assert server.count("serves") == 2


def test_without_lanes_a_worker_is_one_process(shop: Shop) -> None:
    shop.configure(LANES_OFF)
    server = shop.server()
    shop.register("Ada", priority=-50)

    server.printed("-- acked")
    assert len(server.children()) == 1
    assert server.count("Initialized priority lanes") == 0


@pytest.mark.proves("protean server --in-process")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_process_serves_both_lanes_without_children(shop: Shop, number: signal.Signals) -> None:
    server = shop.server("--in-process")
    shop.register("Ada")
    shop.register("Bob", priority=-50)
    eventually(lambda: server.count("-- acked") == 2)
    assert server.children() == []
    assert server.count(LANES_LINE) == 1

    server.process.send_signal(number)

    assert server.ended() == 0


def test_a_higher_log_level_is_quiet_in_every_process(shop: Shop) -> None:
    server = shop.start("server", "--log-level=warning")
    shop.register("Ada")
    eventually(lambda: shop.json("lanes", "status")["drained"] and len(shop.json("lanes", "status")["engines"]) == 2)

    assert server.lines == []


def test_sqlite_runs_in_this_process_and_says_so(shop: Shop, folder: Path) -> None:
    shop.env["DATABASE_URL"] = f"sqlite:///{folder / 'shop.db'}"
    server = shop.server()
    shop.register("Ada")

    server.printed("-- acked")
    assert server.count("SQLite takes one engine process") == 1
    assert server.children() == []
    server.process.terminate()
    assert server.ended() == 0


@pytest.mark.parametrize("option", ["--workers=2", "--lanes=primary"])
def test_sqlite_refuses_more_than_one_process_with_the_reason(shop: Shop, folder: Path, option: str) -> None:
    shop.env["DATABASE_URL"] = f"sqlite:///{folder / 'shop.db'}"

    done = shop.protean("server", option)

    assert done.returncode == 2
    assert done.stderr.startswith("Error: SQLite takes one engine process: its writers would wait")


def test_the_backfill_lane_alone_says_which_lanes_there_are_too(shop: Shop) -> None:
    server = shop.server("--lanes=backfill", "--workers=2")
    eventually(lambda: server.count("serves backfill:") == 2)

    assert server.printed("Initialized priority lanes") == LANES_LINE
    assert server.count("Initialized priority lanes for CustomerProjector") == 1


@pytest.mark.parametrize("options", [[], ["--in-process"]], ids=["with children", "in process"])
def test_a_server_started_before_its_broker_waits_and_says_for_what(shop: Shop, options: list[str]) -> None:
    shop.env["REDIS_URL"] = "redis://127.0.0.1:1/0"
    server = shop.start("server", *options)

    line = server.printed("The start waits for the broker")
    assert line.startswith("WARNING: ")
    assert "redis://127.0.0.1:1/0" in line
    server.process.terminate()

    assert server.ended() == 0
    assert server.count("exited with") == 0


def test_without_waiting_a_server_whose_broker_is_away_dies_and_is_tried_again(shop: Shop) -> None:
    shop.env["REDIS_URL"] = "redis://127.0.0.1:1/0"
    server = shop.start("server", "--no-wait")

    server.printed("starting it again in 1.0 s")
    server.process.terminate()

    assert server.ended() == 1


@pytest.mark.parametrize("options", [[], ["--in-process"]], ids=["with children", "in process"])
def test_health_is_told_on_the_port_that_is_asked_for(shop: Shop, options: list[str]) -> None:
    port = free_port()
    server = shop.start("server", f"--health-port={port}", *options)
    server.printed(f"Health on http://127.0.0.1:{port}")

    eventually(lambda: asked(port, "readyz")[0] == 200, told=lambda: str(asked(port, "healthz")))
    assert asked(port, "livez")[0] == 200
    code, said = asked(port, "healthz")
    assert (code, said["status"]) == (200, "ok")
    threads = [thread["name"] for process in said["processes"] for thread in process["threads"]]
    assert {"CustomerProjector on customer", "CustomerProjector on customer:backfill"} <= set(threads)

    server.process.terminate()
    assert server.ended() == 0


def test_without_a_health_port_nobody_listens(shop: Shop) -> None:
    server = shop.server()
    assert server.count("Health on") == 0
    assert [
        child for child in psutil.Process(server.process.pid).net_connections("inet") if child.status == "LISTEN"
    ] == []


def test_a_health_port_that_is_taken_is_misconfigured(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = shop.protean("server", f"--health-port={taken.getsockname()[1]}")
    assert done.returncode == 2
    assert "choose another health_port" in done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def asked(port: int, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_a_server_that_may_not_wait_and_cannot_start_its_engine_says_so_and_fails(shop: Shop) -> None:
    shop.env["REDIS_URL"] = "redis://127.0.0.1:1/0"

    done = shop.protean("server", "--in-process", "--no-wait")

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: ")
    assert "127.0.0.1:1" in done.stderr


def test_every_process_has_an_index_of_its_own_and_primaries_are_even() -> None:
    both = process_roles((Lane.PRIMARY, Lane.BACKFILL), 3)

    assert [role.index for role in both] == [0, 1, 2, 3, 4, 5]
    assert all((role.index % 2 == 0) == (role.lanes == (Lane.PRIMARY,)) for role in both)
    assert [role.index for role in process_roles((Lane.BACKFILL,), 2)] == [1, 3]
    assert [role.index for role in process_roles((Lane.PRIMARY,), 2)] == [0, 2]
