"""Who starts the servers, who shares them, and when they end."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.adapters.embedded.conftest import Start
from tests.adapters.embedded.homes import eventually, keeper_of, kill, processes_of

from protean.adapters.embedded import postgresql, status, stop, valkey


@pytest.mark.parametrize("users", [2, 8])
def test_processes_that_start_at_once_get_the_same_servers(home: Path, user: Start, users: int) -> None:
    together = [user() for _ in range(users)]

    seen = {tuple(sorted(one.attached().items())) for one in together}

    assert len(seen) == 1
    assert len([one for one in processes_of(home) if "keeper" in " ".join(one.cmdline())]) == 1


def test_attaching_again_takes_less_than_5_ms(home: Path) -> None:
    first = postgresql(home)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        assert postgresql(home) == first
        times.append(time.perf_counter() - started)

    assert sorted(times)[10] < 0.005


def test_only_the_server_that_is_used_is_started(home: Path) -> None:
    valkey(home)

    assert [server.name for server in status(home)] == ["valkey"]
    assert list(home.glob("postgresql*")) == []


def test_status_of_a_folder_without_servers_is_empty_and_makes_no_folder(home: Path) -> None:
    assert status(home) == []
    assert not home.exists()


def test_servers_end_when_their_last_user_left(home: Path, user: Start) -> None:
    first, second = user(), user()
    first.attached()
    second.attached()

    first.leave()
    time.sleep(2)
    assert len(status(home)) == 2

    second.leave()
    assert eventually(lambda: processes_of(home) == [], within=10) >= 0.5


def test_servers_end_when_their_last_user_is_killed(home: Path, user: Start) -> None:
    one = user()
    one.attached()

    kill(one.process.pid)

    eventually(lambda: processes_of(home) == [])


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_end_of_the_starter_and_its_terminal_leaves_the_servers_to_the_others(
    home: Path, user: Start, end: signal.Signals
) -> None:
    starter = user()
    pids = starter.attached()
    other = user()
    other.attached()

    os.killpg(starter.process.pid, end)
    starter.process.wait(timeout=10)
    time.sleep(2)

    assert {server.name: server.pid for server in status(home)} == pids


@pytest.mark.parametrize(
    "having_a_child",
    [
        "import subprocess; child = subprocess.Popen(['sleep', '60'], close_fds=False).pid",
        "import os, time; child = os.fork(); child or (time.sleep(60), os._exit(0))",
    ],
    ids=["spawned", "forked"],
)
def test_a_child_of_a_user_is_no_user(home: Path, user: Start, having_a_child: str) -> None:
    one = user(
        "import sys; from pathlib import Path; from protean.adapters.embedded import valkey\n"
        f"valkey(Path(sys.argv[1]))\n{having_a_child}\nprint(child, flush=True)\nsys.stdin.read()"
    )
    assert one.process.stdout is not None
    child = psutil.Process(int(one.process.stdout.readline()))
    kill(one.process.pid)
    try:
        eventually(lambda: not [p for p in processes_of(home) if "valkey-server" in p.name()])
        assert child.is_running()
    finally:
        child.kill()


def test_a_forked_child_can_attach_by_itself(home: Path, user: Start) -> None:
    one = user(
        "import os, sys; from pathlib import Path; from protean.adapters.embedded import valkey\n"
        "before = valkey(Path(sys.argv[1])).pid\n"
        "if os.fork() == 0:\n"
        "    print(valkey(Path(sys.argv[1])).pid == before, flush=True)\n"
        "    os._exit(0)\n"
        "os.wait(); sys.stdin.read()"
    )
    assert one.process.stdout is not None
    assert one.process.stdout.readline() == "True\n"


def test_a_server_is_given_to_nobody_while_it_ends(home: Path, user: Start) -> None:
    one = user()
    ending = one.attached()["valkey"]
    os.kill(ending, signal.SIGSTOP)  # so that its end takes as long as this test likes
    one.leave()
    eventually(lambda: "Ending valkey" in (home / "keeper.log").read_text())

    other = user()
    time.sleep(1)
    os.kill(ending, signal.SIGCONT)

    assert other.attached()["valkey"] != ending
    assert {server.name: server.pid for server in status(home)} == other.attached()


def test_stop_ends_everything_and_the_next_use_starts_it_again(home: Path) -> None:
    before = postgresql(home), valkey(home)
    stop(home)
    assert status(home) == []
    assert processes_of(home) == []

    after = postgresql(home), valkey(home)

    assert [(server.uri, server.port) for server in after] == [(server.uri, server.port) for server in before]


def test_stop_without_servers_does_nothing(home: Path) -> None:
    stop(home)

    assert not home.exists()


def test_a_removed_home_takes_its_servers_with_it(home: Path, user: Start) -> None:
    user().attached()
    running = processes_of(home)
    assert len(running) > 2

    shutil.rmtree(home, ignore_errors=True)

    eventually(lambda: not any(process.is_running() for process in running), within=30)


def test_a_home_made_anew_gets_servers_of_its_own_and_the_old_ones_end(home: Path, user: Start) -> None:
    user().attached()  # and does not notice
    old = valkey(home)
    old_keeper = keeper_of(home)
    old_keeper.suspend()  # so that it notices when the new ones are up
    shutil.rmtree(home)

    new = valkey(home)
    old_keeper.resume()
    eventually(lambda: not psutil.pid_exists(old.pid) and not old_keeper.is_running())

    assert new.pid != old.pid
    assert status(home) == [new] == [valkey(home)]


def test_the_keeper_is_nobodys_child_and_in_no_terminal(home: Path) -> None:
    postgresql(home)
    keeper = keeper_of(home)

    assert keeper.ppid() != os.getpid()
    assert os.getsid(keeper.pid) != os.getsid(0)
    assert os.getpgid(keeper.pid) != os.getpgid(0)


def test_a_module_in_the_working_folder_does_not_replace_a_library(home: Path, folder: Path, user: Start) -> None:
    (folder / "logging.py").write_text("raise SystemExit('a stray file was imported')")
    code = (
        "import os, sys; from pathlib import Path; from protean.adapters.embedded import valkey\n"
        "os.chdir(Path(sys.argv[1]).parent); print(valkey(Path(sys.argv[1])).name, flush=True)"
    )
    one = user(code)

    assert one.process.stdout is not None
    assert one.process.stdout.readline() == "valkey\n"
    assert sys.executable in keeper_of(home).cmdline()
