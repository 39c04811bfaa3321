"""Whether all is well: told by processes, decided from what they say, asked over HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from protean.deliver.activity import State
from protean.exceptions import ConfigurationError, DatabaseUnavailableError
from protean.server import health as module
from protean.server.board import REGION, Board
from protean.server.health import Health, HealthServer, ProcessHealth
from protean.server.probe import Probe
from protean.server.report import SILENT_AFTER, STUCK_AFTER, Phase, ProcessReport, ThreadReport

NAME = "primary process 0"


def report(**changes: Any) -> ProcessReport:
    now = time.monotonic()
    thread = ThreadReport(name="Ledger on account", alive=True, state=State.IDLE)
    plain = ProcessReport(
        consumer="host.1.ab",
        pid=1,
        lanes=("primary",),
        phase=Phase.SERVING,
        since=now,
        at=now,
        servers={"broker": None, "database": None},
        threads=(thread,),
    )
    return replace(plain, **changes)


def health(*reports: ProcessReport | None, draining: bool = False) -> Health:
    return Health(time.monotonic(), draining, [ProcessHealth(NAME, each) for each in reports])


def test_a_server_whose_processes_all_serve_is_ready() -> None:
    assert health(report(), report()).unready == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"phase": Phase.STARTING}, "is starting"),
        (
            {"phase": Phase.STARTING, "waits_for": "waits for the broker: refused"},
            "is starting and waits for the broker: refused",
        ),
        ({"phase": Phase.DRAINING}, "is ending"),
        ({"servers": {"broker": "out of memory", "database": None}}, "broker: out of memory"),
        ({"servers": {"broker": None, "database": "down"}}, "database: down"),
        (
            {"threads": (ThreadReport(name="relay", alive=False, state=State.IDLE),)},
            "the thread `relay` has ended",
        ),
        ({"at": time.monotonic() - SILENT_AFTER - 1000}, "has not said a word for"),
    ],
)
def test_one_process_that_is_unfit_makes_the_server_unready_and_says_why(changes: Any, reason: str) -> None:
    (said,) = health(report(), report(**changes)).unready
    assert said.startswith(f"the {NAME} {reason}")


def test_a_process_that_has_not_reported_is_starting_and_one_that_died_says_how() -> None:
    assert health(None).unready == [f"the {NAME} is starting"]
    died = ProcessHealth(NAME, report(), "has died (exited with code 1) and is started again", 1)
    assert Health(time.monotonic(), False, [died]).unready == [
        f"the {NAME} has died (exited with code 1) and is started again"
    ]


def test_a_server_that_is_ending_is_not_ready_and_a_supervisor_that_is_stuck_not_alive() -> None:
    assert health(report(), draining=True).unready == ["the server is ending"]
    assert health(report(), draining=True).dead == []
    stuck = Health(time.monotonic() - 1000, False, [ProcessHealth(NAME, report())])
    assert stuck.dead == stuck.unready != []


def test_a_lane_that_settles_nothing_for_long_shows_and_makes_nothing_unready() -> None:
    began = time.monotonic() - STUCK_AFTER - 5
    thread = ThreadReport(
        name="Ledger on account",
        alive=True,
        state=State.WORKING,
        since=began,
        detail="3 messages in hand",
        handling="Ledger, message 12",
        handling_since=began,
    )
    stuck = health(report(threads=(thread,)))
    assert stuck.unready == []
    assert stuck.stuck == [f"the {NAME}: `Ledger on account` has got nothing done for 65 s: Ledger, message 12"]
    assert stuck.as_plain()["status"] == "stuck"
    waiting = replace(thread, state=State.WAITING, handling=None, detail="waits for the broker: out of memory")
    assert health(report(threads=(waiting,))).stuck[0].endswith("for 65 s: waits for the broker: out of memory")
    fresh = replace(thread, since=time.monotonic())
    assert health(report(threads=(fresh,))).stuck == []


def test_a_report_survives_the_board() -> None:
    board = Board()
    assert board.read(3) is None
    said = report(servers={"broker": "\x00é", "database": None})
    board.write(3, said)
    assert board.read(3) == said
    assert board.read(2) is None
    board.clear(3)
    assert board.read(3) is None


def test_a_report_that_does_not_fit_goes_without_its_threads() -> None:
    board = Board()
    thread = ThreadReport(name="x" * 1000, alive=True, state=State.IDLE)
    board.write(0, report(threads=(thread,) * (REGION // 1000)))
    read = board.read(0)
    assert read is not None
    assert (read.phase, read.threads) == (Phase.SERVING, ())


def test_a_report_that_is_read_while_it_is_written_is_never_half() -> None:
    board, over = Board(), threading.Event()
    short, long = report(consumer="a"), report(consumer="b" * 5000)

    def write() -> None:
        while not over.wait(0.001):
            board.write(0, replace(short, at=time.monotonic()))
            board.write(0, replace(long, at=time.monotonic()))

    writer = threading.Thread(target=write)
    board.write(0, short)
    writer.start()
    try:
        read = [board.read(0) for _ in range(2000)]
    finally:
        over.set()
        writer.join()
    assert {each.consumer for each in read if each is not None} <= {"a", "b" * 5000}
    assert None not in read


def test_a_process_that_is_stopped_while_it_writes_leaves_its_last_whole_report() -> None:
    board = Board()
    board.write(0, report(consumer="first"))
    board.write(0, report(consumer="second"))
    board._memory[REGION // 2 + 20] ^= 0xFF  # in the middle of the second
    read = board.read(0)
    assert read is not None
    assert read.consumer == "first"


def test_a_probe_says_what_is_wrong_and_when_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    down = threading.Event()

    def ask() -> None:
        if down.is_set():
            raise DatabaseUnavailableError("it is down")

    probe = Probe(ask)
    probe.look()
    assert probe.complaint is None
    down.set()
    probe.look()
    assert probe.complaint == "it is down"
    down.clear()
    probe.look()
    monkeypatch.setattr("protean.server.probe.ANSWER_LASTS", -1.0)
    assert probe.complaint is not None
    assert probe.complaint.startswith("has not answered for")


# Over HTTP


class Asked:
    """A health server on a free port, and what it is to say."""

    def __init__(self) -> None:
        self.health = health(report())
        self.server = HealthServer("127.0.0.1", 0, lambda: self.health)

    def get(self, path: str, method: str = "GET") -> tuple[int, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.server.port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def raw(self, sent: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as wire:
            wire.sendall(sent)
            read = b""
            while more := wire.recv(4096):
                read += more
            return read


@pytest.fixture
def asked() -> Iterator[Asked]:
    asked = Asked()
    yield asked
    asked.server.close()


def test_all_three_say_yes_when_all_is_well(asked: Asked) -> None:
    assert asked.get("/livez") == (200, {"alive": True, "reasons": []})
    assert asked.get("/readyz?verbose") == (200, {"ready": True, "reasons": []})
    code, said = asked.get("/healthz")
    assert (code, said["status"]) == (200, "ok")
    (process,) = said["processes"]
    assert (process["name"], process["consumer"], process["phase"]) == (NAME, "host.1.ab", "serving")
    assert process["threads"][0]["name"] == "Ledger on account"
    assert 0 <= process["seconds"] < 60


def test_an_unready_server_says_why_and_lives(asked: Asked) -> None:
    asked.health = health(report(phase=Phase.DRAINING))
    assert asked.get("/livez")[0] == 200
    assert asked.get("/readyz") == (503, {"ready": False, "reasons": [f"the {NAME} is ending"]})
    code, said = asked.get("/healthz")
    assert (code, said["status"]) == (503, "unready")


def test_head_has_no_body_and_nothing_else_is_taken(asked: Asked) -> None:
    assert asked.raw(b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n").endswith(b"\r\n\r\n")
    assert asked.get("/livez", "POST")[0] == 405
    assert asked.get("/")[0] == 404
    assert asked.get("/../etc/passwd")[0] == 404
    for nonsense in (b"hello\r\n\r\n", b"GET /livez\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"\r\n\r\n"):
        assert asked.raw(nonsense).startswith(b"HTTP/1.1 400 ")


def test_a_request_without_end_is_given_up(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 1000.0)
    with suppress(ConnectionResetError):  # as it may look from here
        assert asked.raw(b"GET /livez HTTP/1.1\r\nX: " + b"x" * 20_000) == b""
    assert asked.get("/livez")[0] == 200


def test_slow_strangers_keep_nobody_waiting_for_long(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    strangers = [socket.create_connection(("127.0.0.1", asked.server.port)) for _ in range(50)]
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                assert asked.get("/livez")[0] == 200
                break
            except OSError:  # turned away: all answerers are taken
                assert time.monotonic() < deadline
        assert threading.active_count() < module.ANSWERERS + 20
    finally:
        for stranger in strangers:
            stranger.close()


def test_a_port_that_is_taken_is_refused_by_name(asked: Asked) -> None:
    with pytest.raises(ConfigurationError, match=f"127.0.0.1:{asked.server.port}.*health_port"):
        HealthServer("127.0.0.1", asked.server.port, lambda: asked.health)


def test_after_closing_nobody_answers(asked: Asked) -> None:
    asked.server.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", asked.server.port), timeout=5)
