"""kill -9 of anything, at any time: the next use finds its servers and its data."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.adapters.embedded.conftest import Start
from tests.adapters.embedded.homes import (
    eventually,
    keeper_of,
    kill,
    kill_all,
    listening_on,
    processes_of,
    read_from_both,
    write_to_both,
)

from protean.adapters.embedded import Server, postgresql, status, stop, valkey

WRITTEN = (["before"], ["before"])


@pytest.mark.parametrize("server", [postgresql, valkey])
def test_a_killed_server_is_restarted_where_it_was_with_its_data(home: Path, server: Callable[[Path], Server]) -> None:
    write_to_both(home, "before")
    killed = server(home)

    kill(killed.pid)
    eventually(lambda: server(home).pid != killed.pid)

    assert (server(home).uri, server(home).port) == (killed.uri, killed.port)
    assert read_from_both(home) == WRITTEN


def test_the_servers_of_a_killed_keeper_are_adopted_as_they_are(home: Path, user: Start) -> None:
    write_to_both(home, "before")
    before = postgresql(home), valkey(home)
    first = keeper_of(home)
    first.kill()
    first.wait(timeout=10)

    assert (postgresql(home), valkey(home)) == before
    assert keeper_of(home).pid != first.pid
    assert read_from_both(home) == WRITTEN


def test_an_adopted_server_is_restarted_when_it_crashes_and_ended_when_unused(home: Path, user: Start) -> None:
    one = user()
    before = one.attached()
    keeper = keeper_of(home)
    keeper.kill()
    keeper.wait(timeout=10)
    other = user()
    assert other.attached() == before

    kill(before["postgresql"])
    eventually(lambda: {server.pid for server in status(home)} - set(before.values()) != set())

    one.leave()
    other.leave()
    eventually(lambda: processes_of(home) == [])


def test_after_everything_was_killed_the_data_is_still_there(home: Path) -> None:
    for word in ("a", "b", "c"):
        write_to_both(home, word)
        kill_all(home)

    assert read_from_both(home) == (["a", "b", "c"], ["a", "b", "c"])


@pytest.mark.parametrize("after", [0.1, 0.3, 0.5, 0.7])
def test_a_kill_while_the_database_is_being_created_leaves_nothing_in_the_way(
    home: Path, user: Start, after: float
) -> None:
    one = user()
    time.sleep(after)
    kill(one.process.pid)
    kill_all(home)

    write_to_both(home, "before")

    assert read_from_both(home) == WRITTEN
    assert list(home.glob("*.new")) == []


def test_pid_files_that_name_a_stranger_stop_nothing_and_harm_nobody(home: Path) -> None:
    write_to_both(home, "before")
    data = home / "postgresql"
    owner = data.stat().st_uid
    kill_all(home)
    stranger = subprocess.Popen(["sleep", "60"], user=owner)
    try:
        stale = data / "postmaster.pid"
        stale.write_text("\n".join([str(stranger.pid), *stale.read_text().splitlines()[1:]]))
        (home / "run" / "keeper.lock").write_text(str(stranger.pid))

        stop(home)
        assert read_from_both(home) == WRITTEN
        stop(home)

        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_stop_ends_servers_whose_keeper_was_killed(home: Path) -> None:
    postgresql(home)
    valkey(home)
    keeper = keeper_of(home)
    keeper.kill()
    keeper.wait(timeout=10)

    stop(home)

    assert processes_of(home) == []


def test_a_server_whose_socket_was_removed_is_restarted(home: Path) -> None:
    server = valkey(home)
    server.socket.unlink()

    eventually(lambda: valkey(home).pid != server.pid)

    assert valkey(home).socket.exists()


def test_a_taken_port_is_replaced_and_the_new_one_remembered(home: Path) -> None:
    first = valkey(home)
    stop(home)

    with socket.create_server(("127.0.0.1", first.port)):
        second = valkey(home)
        assert second.port != first.port
        assert listening_on(second) == {("127.0.0.1", second.port)}
    stop(home)

    assert valkey(home).port == second.port
