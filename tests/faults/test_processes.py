"""The processes of a server: asked to end, replaced, frozen, hanging, dying; and what is seen of it from outside."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from tests.faults.conftest import PATIENCE, ROOT, Processes, configured
from tests.support.bank import Bank, build_bank

from protean.ports.broker import GroupState
from protean.ports.progress import Failure, FailureFilter
from protean.priority import Priority, processing_priority

#: A domain whose code has a version, and whose handlers hang while a file with the account's name is there.
SERVED = """
import json, os, sys, time
from pathlib import Path
from tests.support.bank import build_bank

levers = Path(os.environ["LEVERS"])
print("code version 1", file=sys.stderr, flush=True)
bank = build_bank(json.loads(os.environ["BANK_CONFIG"]))
domain = bank.domain

def between(event):
    time.sleep(float(os.environ["BANK_DELAY"]))
    while (levers / f"hang-{event.account_id}").exists():
        time.sleep(0.02)

bank.between = between
"""


@dataclass
class Server(Processes):
    """`protean server` of a domain in a folder, which may be changed while it runs."""

    bank: Bank
    folder: Path

    def start(self, *arguments: str, delay: float = 0.0, **environment: str) -> subprocess.Popen[bytes]:
        return self.run(str(self.module) + ":domain", *arguments, **self.environment(delay), **environment)

    def environment(self, delay: float = 0.0) -> dict[str, str]:
        return {
            "BANK_CONFIG": json.dumps(self.config),
            "BANK_DELAY": str(delay),
            "LEVERS": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",  # a change within the second of the compiled file would go unseen
        }

    @property
    def module(self) -> Path:
        return self.folder / "served.py"

    def hang(self, account: str) -> Path:
        lever = self.folder / f"hang-{account}"
        lever.touch()
        return lever

    def up(self, processes: int) -> None:
        """Wait until so many processes give a sign of life."""
        self.until(lambda: len(self.living()) == processes)

    def living(self) -> list[str]:
        return self.bank.domain.broker().living()

    def applied(self, account: str, *numbers: int) -> None:
        """Wait until exactly these have been applied."""
        self.until(lambda: self.bank.applied(account) == list(numbers))

    def said(self, text: str) -> None:
        self.until(lambda: text in self.log.read_text(errors="replace"))

    def until(self, done: Callable[[], bool], seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                pytest.fail(self.last_words())
            time.sleep(0.02)

    def group(self) -> GroupState:
        """The ledger's on the primary lane, as soon as there is one."""

        def found() -> list[GroupState]:
            groups = self.bank.domain.broker().stream("account").groups
            return [group for group in groups if group.name == "LedgerProjector"]

        self.until(lambda: bool(found()))
        return found()[0]

    def failures(self) -> list[Failure]:
        transaction = self.bank.domain.database().transaction()
        try:
            return transaction.failures.find(FailureFilter(), 100)
        finally:
            transaction.rollback()

    def settled(self) -> bool:
        database, broker = self.bank.domain.database(), self.bank.domain.broker()
        published = all(count.status == "published" for count in database.outbox.count())
        return published and not any(broker.stream(name).length for name in ("account", "account:backfill"))


@pytest.fixture
def server(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[Server]:
    config = configured(database_url, broker_url, base_delay=0.05, max_delay=0.2)
    config["server"]["grace_period"] = 20.0
    (tmp_path / "served.py").write_text(SERVED)
    server = Server(config, tmp_path / "server.log", bank=build_bank(config), folder=tmp_path)
    server.bank.domain.database()
    yield server
    server.kill_all()
    server.bank.domain.close()


def health(port: int, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# Ending


def test_a_handler_that_outlasts_the_grace_period_is_given_up_and_its_message_handled_by_the_next_start(
    server: Server, port: int
) -> None:
    server.config["server"]["grace_period"] = 2.0
    server.config["server"]["health_port"] = port
    lever = server.hang("a")
    first = server.start()
    server.bank.open("a")
    server.until(lambda: server.group().pending == 1)
    server.until(lambda: health(port, "readyz")[0] == 200)

    first.terminate()

    server.until(lambda: health(port, "readyz")[0] == 503)  # unready before anything ends
    assert "the server is ending" in health(port, "readyz")[1]["reasons"]
    assert health(port, "livez")[0] == 200
    assert first.wait(PATIENCE) == 1
    server.said("Still busy after the grace period, given up: LedgerProjector on account")
    assert server.group().pending == 1
    assert server.bank.applied("a") == []
    lever.unlink()
    server.start()
    server.applied("a", 0)
    server.until(server.settled)
    assert server.stop()[-1] == 0


def test_a_second_request_to_end_does_not_wait_for_anything(server: Server) -> None:
    server.hang("a")
    running = server.start()
    server.bank.open("a")
    server.until(lambda: server.group().pending == 1)
    family = server.everybody()

    began = time.monotonic()
    running.terminate()
    time.sleep(0.5)
    assert running.poll() is None
    running.terminate()

    assert running.wait(15) == 1
    assert time.monotonic() - began < 15
    assert not any(process.is_running() for process in family)


def test_a_server_that_is_ended_while_a_process_of_it_is_dead_does_not_say_all_was_well(server: Server) -> None:
    running = server.start()
    server.up(2)
    server.module.write_text("raise RuntimeError('half a deployment')")
    server.everybody()[-1].kill()
    server.said("starting it again in 1.0 s")

    running.terminate()

    assert running.wait(PATIENCE) == 1


def test_closing_the_terminal_ends_the_server(server: Server) -> None:
    setsid = shutil.which("setsid")
    if setsid is None:
        pytest.skip("setsid gives a process a terminal, and is not there")
    ours, theirs = pty.openpty()
    command = [setsid, "--ctty", sys.executable, "-m", "protean.cli", "server", "--domain", f"{server.module}:domain"]
    with closing(os.fdopen(ours, "rb", buffering=0)):
        environment = {**os.environ, **server.environment()}
        with server.log.open("ab") as log:
            running = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=theirs, stdout=log, stderr=log)
        server.processes.append(running)
        os.close(theirs)
        server.up(2)
    assert running.wait(PATIENCE) == 0
    assert "Replacing" not in server.last_words()
    assert server.living() == []


# Replacing


def test_sighup_brings_changed_code_into_force_without_a_moment_in_which_nobody_serves(server: Server) -> None:
    running = server.start()
    server.up(2)
    before = {process.pid for process in server.everybody()[1:]}
    server.module.write_text(SERVED.replace("code version 1", "code version 2"))
    server.bank.open("a")
    serving: list[int] = []

    def is_applied(last: int) -> bool:
        serving.append(len(server.living()))
        return server.bank.applied("a") == list(range(last + 1))

    running.send_signal(signal.SIGHUP)

    number = 0
    while "All processes are replaced" not in server.log.read_text():
        number += 1
        server.bank.deposit("a")
        server.until(lambda: is_applied(number))  # noqa: B023  # called at once
    server.up(2)
    assert min(serving) == 2
    assert max(serving) == 3
    assert number > 1
    assert before.isdisjoint(process.pid for process in server.everybody())
    assert server.log.read_text().count("code version 2") == 2
    assert server.stop() == [0]


def test_code_that_does_not_start_replaces_nothing(server: Server) -> None:
    running = server.start()
    server.up(2)
    before = {process.pid for process in server.everybody()}
    server.module.write_text("raise RuntimeError('half a deployment')")

    running.send_signal(signal.SIGHUP)

    server.said("no further process is replaced, those that run go on with the code they have")
    assert {process.pid for process in server.everybody()} == before
    server.bank.open("a")
    server.applied("a", 0)

    server.module.write_text(SERVED.replace("code version 1", "code version 3"))
    running.send_signal(signal.SIGHUP)
    server.said("All processes are replaced")
    assert server.stop() == [0]


# Hanging


def test_a_handler_beyond_its_time_limit_ends_its_process_and_after_three_such_deaths_its_message_is_set_aside(
    server: Server,
) -> None:
    server.config["server"] |= {"handler_timeout": 1.0, "retry": {"max_retries": 0}}
    server.hang("bad")
    names = [f"good-{number}" for number in range(5)]
    with processing_priority(Priority.LOW):
        for name in [*names[:2], "bad", *names[2:]]:
            server.bank.open(name)
    server.start()

    server.until(lambda: bool(server.failures()), 120)

    (failure,) = server.failures()
    assert (failure.stream_name, failure.error_type, failure.handler) == (
        "account-bad",
        "HandlerDiedError",
        "LedgerProjector",
    )
    for name in names:
        server.applied(name, 0)
    log = server.log.read_text()
    assert log.count("This process ends itself (exit code 70)") == 3
    assert log.count("backfill process 1 exited with code 70") == 3
    assert "primary process 0 exited" not in log
    assert "longer than handler_timeout = 1 allows" in log
    assert 'File "' + str(server.module) in log  # the stack says where
    server.until(server.settled)


# Frozen


def test_a_frozen_engine_changes_nothing_when_it_thaws_and_takes_part_again(server: Server, database_url: str) -> None:
    for _ in range(3):
        server.start(delay=0.01)
    server.up(6)
    names = [f"acc-{number}" for number in range(30)]
    for name in names:
        server.bank.open(name)
        server.bank.deposit(name)
    broker = server.bank.domain.broker()

    frozen = None
    deadline = time.monotonic() + PATIENCE
    while frozen is None and time.monotonic() < deadline:
        held = broker.held("account", "LedgerProjector")
        consumer = max(held, key=lambda name: held[name], default="")
        if held.get(consumer):
            candidate = psutil.Process(int(consumer.split(".")[-2]))
            candidate.suspend()
            if broker.held("account", "LedgerProjector").get(consumer) and in_transaction(database_url, consumer):
                frozen = candidate
            else:
                candidate.resume()
    assert frozen is not None
    for name in names:
        server.bank.deposit(name)
    server.until(lambda: consumer not in broker.living())
    server.until(server.settled)  # without the frozen one, the locks of which are gone
    exact = {name: [0, 1, 2] for name in names}
    assert {name: server.bank.applied(name) for name in names} == exact

    frozen.resume()

    server.said("gave no sign of life for")
    server.up(6)
    assert {name: server.bank.applied(name) for name in names} == exact
    for name in names:
        server.bank.deposit(name)
    server.until(server.settled)
    assert {name: server.bank.applied(name) for name in names} == {name: [0, 1, 2, 3] for name in names}
    server.until(lambda: consumer in server.group().consumers)
    assert server.stop() == [0, 0, 0]


def in_transaction(url: str, consumer: str) -> bool:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND xact_start IS NOT NULL", [consumer]
        ).fetchone()
    return found is not None and found[0] > 0


def test_a_frozen_process_shows_in_health_and_so_does_a_dead_one(server: Server, port: int) -> None:
    server.config["server"]["health_port"] = port
    server.start()
    server.until(lambda: health_or_none(port) == 200)
    backfill = server.everybody()[-1]

    backfill.suspend()
    server.until(lambda: health(port, "readyz")[0] == 503)
    assert "has not said a word for" in health(port, "readyz")[1]["reasons"][0]
    backfill.resume()
    server.until(lambda: health(port, "readyz")[0] == 200)

    backfill.kill()
    server.until(lambda: health(port, "readyz")[0] == 503)
    assert health(port, "livez")[0] == 200
    server.until(lambda: health(port, "readyz")[0] == 200)
    _, said = health(port, "healthz")
    assert [process["deaths"] for process in said["processes"]] == [0, 1]


def health_or_none(port: int) -> int | None:
    try:
        return health(port, "readyz")[0]
    except OSError:
        return None


# systemd


def test_systemd_hears_when_the_server_is_ready_how_it_is_and_that_it_ends(server: Server, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(PATIENCE)
        running = server.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="600000")
        heard: list[str] = []

        def hear(text: str) -> None:
            while text not in heard:
                heard.append(ear.recv(4096).decode())

        hear("READY=1")
        assert heard[0] in ("WATCHDOG=1", "STATUS=the primary process 0 is starting")
        hear("STATUS=2 processes serve")
        heard.clear()
        hear("WATCHDOG=1")
        running.send_signal(signal.SIGHUP)
        hear("READY=1")
        assert any(text.startswith("RELOADING=1\nMONOTONIC_USEC=") for text in heard)
        running.terminate()
        hear("STOPPING=1")
        assert running.wait(PATIENCE) == 0
