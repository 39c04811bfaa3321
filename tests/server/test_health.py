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

import psycopg
import pytest
from tests.server.conftest import Cluster, wait_for

from protean.deliver import housekeeping, lookout
from protean.deliver.activity import State
from protean.exceptions import ConfigurationError, DatabaseUnavailableError
from protean.rounds import Rounds
from protean.server import health as module
from protean.server import report as report_module
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


def in_rounds(*outcomes: str | Exception) -> ThreadReport:
    rounds = Rounds()
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            rounds.failed(outcome)
        else:
            rounds.done(outcome)
    return ThreadReport(name="housekeeping of default", alive=True, state=State.IDLE, last_round=rounds.last)


def test_a_thread_that_works_in_rounds_tells_how_the_last_one_ended(asked: Asked) -> None:
    asked.health = health(report(threads=(in_rounds("3 rows pruned, floors raised by 12"),)))
    code, said = asked.get("/healthz")
    assert (code, said["status"]) == (200, "ok")
    last = said["processes"][0]["threads"][0]["last_round"]
    assert 0 <= last.pop("ended_seconds_ago") < 60
    assert last == {"result": "3 rows pruned, floors raised by 12", "failures": 0, "failing_seconds": None}


def test_the_text_of_an_error_stays_in_the_log(asked: Asked) -> None:
    error = DatabaseUnavailableError("Key (owner)=(Ada) " + "x" * 100_000)
    thread = in_rounds("1 row pruned, floors raised by 0", error, error)
    assert thread.last_round is not None
    assert (thread.last_round.result, thread.last_round.failures) == ("failed: DatabaseUnavailableError", 2)
    asked.health = health(report(threads=(thread,)))
    assert "Ada" not in json.dumps(asked.get("/healthz")[1])


def test_housekeeping_that_fails_round_after_round_makes_the_server_degraded_and_not_unready(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = DatabaseUnavailableError("down")
    failing = in_rounds(error, error, error)
    assert health(report(threads=(failing,))).degraded == []  # for a moment only
    monkeypatch.setattr(report_module, "FAILING_AFTER", 0.0)
    assert health(report(threads=(in_rounds(error, error),))).degraded == []
    assert health(report(threads=(in_rounds(error, error, error, "0 rows pruned"),))).degraded == []
    asked.health = health(report(threads=(failing,)))
    code, said = asked.get("/healthz")
    assert (code, said["status"]) == (200, "degraded")
    assert said["degraded"] == [
        f"the {NAME}: `housekeeping of default` has failed 3 times in 0 s: failed: DatabaseUnavailableError"
    ]


def test_how_the_last_round_ended_survives_the_board() -> None:
    board = Board()
    said = report(threads=(in_rounds(DatabaseUnavailableError("down")),))
    board.write(0, said)
    assert board.read(0) == said


def test_an_engine_tells_of_its_rounds_and_of_those_that_fail(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setattr(housekeeping, "SWEEP_INTERVAL", 0.05)
    monkeypatch.setattr(lookout, "LOOK_INTERVAL", 0.05)
    monkeypatch.setattr(report_module, "FAILING_AFTER", 0.0)
    (engine,) = cluster.start()

    def results() -> dict[str, str]:
        threads = {thread.name: thread.last_round for thread in engine.report().threads}
        return {name: last.result for name, last in threads.items() if last is not None}

    names = ["housekeeping of default", "lookout of default", "pauses", "signals"]
    names += [f"retries of default, {lane} lane" for lane in ("primary", "backfill")]
    wait_for(lambda: sorted(results()) == sorted(names))
    assert results()["lookout of default"] == "nothing was lost"
    assert results()["retries of default, primary lane"] == "0 failures retried"

    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("ALTER TABLE idempotency_keys RENAME TO hidden")
        wait_for(lambda: len(engine.report().failing) == 1, lambda: str(results()))
        assert "`housekeeping of default` has failed" in engine.report().failing[0]
        assert engine.report().unfit == []
        admin.execute("ALTER TABLE hidden RENAME TO idempotency_keys")
    wait_for(lambda: engine.report().failing == [])
