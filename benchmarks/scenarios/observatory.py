"""The drain while 200 clients follow the Observatory, while one does, and while nobody looks, in turn."""

from __future__ import annotations

import re
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from benchmarks.bench import ROOT, Bench, until
from benchmarks.exactness import check, worst
from benchmarks.figures import Figure, Result, Target
from benchmarks.scenarios import drain
from benchmarks.shop.domain import shop

#: Clients of each round, and their names; half of them follow `/stream`, the others `/live`.
VIEWERS = {"nobody": 0, "one viewer": 1, "200 viewers": 200}


@dataclass(frozen=True, slots=True)
class _Round:
    """Per second, and per message."""

    rate: float
    transactions: float
    commands: float


def measure(bench: Bench) -> list[Result]:
    events, rounds = bench.pick(1_000, 50_000), bench.pick(1, 5)
    found: dict[str, list[_Round]] = {name: [] for name in VIEWERS}
    inexact = []
    for number in range(rounds):
        order = list(VIEWERS) if number % 2 == 0 else list(reversed(VIEWERS))
        for name in order:
            bench.note(f"{name}, round {number + 1} of {rounds}")
            drain._fill(bench, events)  # noqa: SLF001  # the same backlog, by the same hands
            found[name].append(_round(bench, events, VIEWERS[name]))
            inexact.append(check(bench))
            shop.close()
    figures = [figure for name in reversed(VIEWERS) if VIEWERS[name] for figure in _figures(name, found)]
    note = (
        f"{events:,} events, {rounds} rounds, each ratio that of a round to its like with nobody; the "
        "clients run on the same machine. Transactions and commands: all, from the server's start to its end"
    )
    return [Result("observatory", [*figures, *worst(inexact)], [note])]


def _figures(name: str, found: dict[str, list[_Round]]) -> Iterator[Figure]:
    """The 200 are what targets are about; what one costs is what tracing costs."""
    many = VIEWERS[name] > 1
    for what, unit, target in (
        ("rate", "events/s", Target("at least", 0.9, "ratio")),
        ("transactions", "transactions/event", Target("at most", 1.1, "ratio")),
        ("commands", "commands/event", Target("at most", 1.1, "ratio")),
    ):
        ours = [float(getattr(each, what)) for each in found[name]]
        floor = [float(getattr(each, what)) for each in found["nobody"]]
        yield Figure(
            name=f"{what}, {name}",
            value=median(ours),
            unit=unit,
            floor=median(floor),
            ratio=median(a / b for a, b in zip(ours, floor, strict=True)),
            runs=ours,
            target=target if many else None,
        )


def _round(bench: Bench, events: int, viewers: int) -> _Round:
    before = _counts(bench)
    with _observatory() as port, _viewing(port, viewers):
        rate = drain._drained(bench, events)  # noqa: SLF001  # as above
    shop.close()  # every session has ended, and handed in its statistics
    after = _counts(bench)
    return _Round(rate, (after[0] - before[0]) / events, (after[1] - before[1]) / events)


def _counts(bench: Bench) -> tuple[int, int]:
    """Transactions of the scenario's database, commands of its broker."""
    with bench.connect() as connection, bench.redis() as broker:
        row = connection.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        return int(row[0]) if row else 0, int(broker.info("stats")["total_commands_processed"])


@contextmanager
def _observatory() -> Iterator[int]:
    """A process of its own; its port."""
    command = [sys.executable, "-m", "protean.cli", "observatory", "--domain=benchmarks.shop.domain", "--port=0"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def port() -> int:
            log.seek(0)
            found = re.search(rb"http://127\.0\.0\.1:(\d+)", log.read())
            return int(found[1]) if found else 0

        try:
            yield until(port, 30.0, lambda: "the Observatory does not come up", pace=0.05)
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def _viewing(port: int, viewers: int) -> Iterator[None]:
    """So many clients, which read all they are sent, from one thread."""
    ready = selectors.DefaultSelector()
    clients = []
    for number in range(viewers):
        client = socket.create_connection(("127.0.0.1", port))
        path = b"/live" if number % 2 else b"/stream"
        client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        if not client.recv(1024).startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"viewer {number} is not let in")
        ready.register(client, selectors.EVENT_READ)
        clients.append(client)
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            for key, _ in ready.select(0.1):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.recv(1 << 20)

    reading = threading.Thread(target=read, daemon=True)
    if clients:
        reading.start()
    yield
    ended.set()
    if clients:
        reading.join()
    for client in clients:
        client.close()
    ready.close()
