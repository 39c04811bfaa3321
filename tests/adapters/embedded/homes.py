"""Homes of embedded servers, and processes that use them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
from redis import Redis

from protean.adapters.embedded import Server, postgresql, valkey

#: What a user process does: attach to both, say where they are, and stay until its input ends.
USER = """
import json, sys
from pathlib import Path
from protean.adapters.embedded import postgresql, valkey
home = Path(sys.argv[1])
print(json.dumps({server.name: server.pid for server in (postgresql(home), valkey(home))}), flush=True)
sys.stdin.read()
"""


@dataclass
class User:
    """A process that uses the servers of a home."""

    process: subprocess.Popen[str]
    pids: dict[str, int] = field(default_factory=dict)

    def attached(self) -> dict[str, int]:
        """The pids of the servers, as soon as it has them."""
        assert self.process.stdout is not None
        if not self.pids:
            self.pids = json.loads(self.process.stdout.readline())
        return self.pids

    def leave(self) -> None:
        self.process.communicate(input="", timeout=20)


def processes_of(home: Path) -> list[psutil.Process]:
    """Everything that runs for a home: keeper, servers and their children, initdb."""
    found = []
    for process in psutil.process_iter():
        try:
            arguments, folder = process.cmdline(), process.cwd()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        ours = process.pid != os.getpid() and "-c" not in arguments[1:2]
        if ours and any(str(home) in text for text in (*arguments, folder)):
            found.append(process)
    return found


def kill_all(home: Path) -> None:
    """What a power cut does to processes: keeper first, so that nothing is restarted in between."""
    running = sorted(processes_of(home), key=lambda process: not is_keeper(process))
    for process in running:
        kill(process.pid)
    psutil.wait_procs(running, timeout=10)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def keeper_of(home: Path) -> psutil.Process:
    (keeper,) = (one for one in processes_of(home) if is_keeper(one))
    return keeper


def is_keeper(process: psutil.Process) -> bool:
    """Not one that has ended since it was found, as the sessions of a database do at any time."""
    try:
        return "keeper" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def eventually(holds: Callable[[], bool], within: float = 10) -> float:
    """Wait until something holds; how many seconds that took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < within, f"not within {within} s"
        time.sleep(0.02)
    return time.monotonic() - started


def write_to_both(home: Path, word: str) -> None:
    with psycopg.connect(postgresql(home).uri) as database:
        database.execute("CREATE TABLE IF NOT EXISTS words (word text)")
        database.execute("INSERT INTO words VALUES (%s)", (word,))
    with Redis.from_url(valkey(home).uri) as broker:
        broker.xadd("words", {"word": word})


def read_from_both(home: Path) -> tuple[list[str], list[str]]:
    with psycopg.connect(postgresql(home).uri) as database:
        rows = [row[0] for row in database.execute("SELECT word FROM words ORDER BY word")]
    with Redis.from_url(valkey(home).uri, decode_responses=True) as broker:
        entries = [fields["word"] for _, fields in broker.xrange("words")]
    return rows, entries


def listening_on(server: Server) -> set[tuple[str, int]]:
    connections = psutil.Process(server.pid).net_connections(kind="inet")
    return {tuple(found.laddr) for found in connections if found.status == psutil.CONN_LISTEN}
