"""What systemd hears, over a real datagram socket."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protean.server.notify import Notifier


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(5.0)
        yield ear


def notifier(ear: socket.socket, **environment: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": ear.getsockname(), **environment})


def test_each_change_is_one_datagram(heard: socket.socket) -> None:
    told = notifier(heard)
    told.ready()
    told.status("2 processes serve")
    told.status("2 processes serve")
    told.status("one line\nonly")
    told.stopping()

    assert [heard.recv(1000) for _ in range(4)] == [
        b"READY=1",
        b"STATUS=2 processes serve",
        b"STATUS=one line only",
        b"STOPPING=1",
    ]


def test_a_reload_says_since_when(heard: socket.socket) -> None:
    notifier(heard).reloading()
    assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", heard.recv(1000))


def test_the_watchdog_hears_twice_as_often_as_it_asked_for(heard: socket.socket) -> None:
    told = notifier(heard, WATCHDOG_USEC="200000", WATCHDOG_PID=str(os.getpid()))
    assert told.interval == 0.1
    told.alive()
    told.alive()
    assert heard.recv(1000) == b"WATCHDOG=1"
    time.sleep(0.12)
    told.alive()
    assert heard.recv(1000) == b"WATCHDOG=1"
    heard.setblocking(False)
    with pytest.raises(BlockingIOError):
        heard.recv(1000)


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "100", "WATCHDOG_PID": "1"}])
def test_a_watchdog_that_is_not_for_us_is_told_nothing(environment: dict[str, str]) -> None:
    assert Notifier(environment).interval == 0.0


def test_an_abstract_name_is_understood() -> None:
    name = f"protean-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"\0{name}")
        ear.settimeout(5.0)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert ear.recv(1000) == b"READY=1"


def test_without_systemd_or_with_one_that_is_gone_nothing_happens(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        Notifier(environment).ready()
