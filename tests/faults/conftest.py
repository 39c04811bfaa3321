"""Real server processes over real servers, to be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psutil
import psycopg
import pytest
from redis import Redis
from tests.faults.load import Load
from tests.faults.oracle import Ledger, Oracle
from tests.support.bank import Bank, build_bank
from tests.support.things import FOLDER, build_things

ROOT = Path(__file__).parents[2]
#: Seconds that shared machines get until something has happened.
PATIENCE = 60.0
#: Seconds after which all must be quiet again, or at least quieter than before. The promise is 10; a machine that many
#: share, and on which a backlog has grown meanwhile, gets more.
QUIET = 30.0
#: Seconds after which it must be quiet in any case.
AT_LAST = 180.0


@dataclass
class Processes:
    """Running `protean server`s and what they have said."""

    config: dict[str, Any]
    log: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list, kw_only=True)

    def run(self, domain: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a server for that domain."""
        command = [sys.executable, "-m", "protean.cli", "server", "--domain", domain, *arguments]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def everybody(self) -> list[psutil.Process]:
        """All running processes of all servers, supervisors first."""
        found = []
        for process in self.processes:
            if psutil.pid_exists(process.pid) and process.poll() is None:
                parent = psutil.Process(process.pid)
                found += [parent, *parent.children(recursive=True)]
        return found

    def kill_all(self) -> None:
        """kill -9 to every process at once: the supervisor too, so that nobody can clean up."""
        everybody = self.everybody()
        for process in everybody:
            process.send_signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()
        psutil.wait_procs(everybody, timeout=10)
        self.processes.clear()

    def stop(self) -> list[int]:
        """SIGTERM to every supervisor; the exit codes."""
        for process in self.processes:
            process.terminate()
        codes = [process.wait(60) for process in self.processes]
        self.processes.clear()
        return codes

    def last_words(self, characters: int = 6_000) -> str:
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""


@dataclass
class Service(Processes):
    """`protean server` processes, and a bank in this process that writes and looks."""

    bank: Bank = field(kw_only=True)

    def start(self, *arguments: str, delay: float = 0.0) -> subprocess.Popen[bytes]:
        environment = {"BANK_CONFIG": json.dumps(self.config), "BANK_DELAY": str(delay)}
        return self.run("tests.faults.bank_app:domain", *arguments, **environment)


@pytest.fixture
def service(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[Service]:
    config = configured(database_url, broker_url, base_delay=0.05, max_delay=0.2)
    service = Service(config, tmp_path / "server.log", bank=build_bank(config))
    service.bank.domain.database()
    yield service
    service.kill_all()
    service.bank.domain.close()


def configured(database_url: str, broker_url: str, **retry: float) -> dict[str, Any]:
    """Both lanes, and retries that a test can wait for."""
    return {
        "databases": {"default": {"database_uri": database_url}},
        "brokers": {"default": {"uri": broker_url}},
        "server": {"priority_lanes": {"enabled": True}, "retry": retry},
    }


@dataclass
class Trial(Processes):
    """Servers of the oracle's domain, the clients beside them, and what must hold afterwards.

    `config` is the servers' and may lead through a proxy; the clients' and the oracle's connections are `direct`.
    """

    direct: dict[str, Any] = field(kw_only=True)
    folder: Path = field(kw_only=True)
    oracle: Oracle = field(kw_only=True)
    ledger: Ledger = field(kw_only=True, default_factory=Ledger)
    ordered: int = field(kw_only=True, default=0)

    def start(self, *, workers: int = 1, servers: int = 1) -> None:
        """Start servers of so many workers each, and wait until all their processes are heard."""
        before = self.living()
        (self.folder / "attempts").mkdir(exist_ok=True)
        environment = {
            "ORACLE_CONFIG": json.dumps(self.config),
            "ORACLE_ORDERS": str(self.folder / "orders"),
            FOLDER: str(self.folder / "attempts"),
        }
        for _ in range(servers):
            self.run("tests.faults.oracle_app:domain", "--workers", str(workers), **environment)
        expected = 2 * workers * servers
        self.wait_for(
            lambda: len(self.living() - before) >= expected or self.ended() > 0,
            PATIENCE,
            lambda: "not all have come up",
        )
        assert not self.ended(), f"a server has ended at its start\n{self.last_words()}"

    def ended(self) -> int:
        """How many servers have ended without having been told to."""
        return sum(process.poll() is not None for process in self.processes)

    def living(self) -> set[bytes]:
        """The consumers with a sign of life."""
        with Redis.from_url(self.direct["brokers"]["default"]["uri"]) as broker:
            return set(broker.scan_iter("protean:*beat:*", count=1000))

    def order(self, *orders: str) -> None:
        """Have processes kill themselves at these crash points, each once more, whatever was ordered before."""
        self.ordered += 1
        while self.carried_out_in.exists():  # other servers have had this folder before
            self.ordered += 1
        self.carried_out_in.mkdir()
        fresh = self.folder / "orders.new"
        fresh.write_text(f"{self.ordered} {','.join(orders)}")
        fresh.replace(self.folder / "orders")

    @property
    def carried_out_in(self) -> Path:
        """Where the last orders leave word: a place of their own, for a process may be slow to hear of them."""
        return self.folder / f"carried-out-{self.ordered}"

    def carried_out(self) -> set[str]:
        return {token.name for token in self.carried_out_in.iterdir()}

    @contextmanager
    def load(self, *, rate: float = 40.0, limit: int | None = None) -> Iterator[Ledger]:
        """Clients at work while the block lasts, or until there were `limit` commands."""
        with Load(self.direct, self.ledger, rate=rate, limit=limit).running():
            yield self.ledger

    def settle(self, patience: float = QUIET) -> float:
        """Wait until nothing is owed; the seconds that took.

        Fails, with what is owed and to whom, when that has not become less for `patience` seconds.
        """
        began = progress = time.monotonic()
        least: float = float("inf")
        while owed := self.oracle.owed():
            now, amount = time.monotonic(), sum(owed.values())
            if amount < least:
                least, progress = amount, now
            if now - progress > patience or now - began > AT_LAST:
                pytest.fail(f"not quiet after {now - began:.0f} s: {owed}\n{self.last_words()}")
            time.sleep(0.05)
        return time.monotonic() - began

    def assert_exact(self) -> None:
        """Every invariant of the oracle."""
        violations = self.oracle.violations(self.ledger)
        assert not violations, "\n".join([*violations[:20], self.last_words()])

    def wait_for(self, done: Callable[[], bool], patience: float, complaint: Callable[[], str]) -> None:
        deadline = time.monotonic() + patience
        while not done():
            if time.monotonic() > deadline:
                pytest.fail(f"{complaint()}, for {patience:g} s\n{self.last_words()}")
            time.sleep(0.05)


@contextmanager
def tried(
    folder: Path, database_url: str, broker_url: str, through: dict[str, Any] | None = None, **settings: Any
) -> Iterator[Trial]:
    """A trial over these servers; `through` is the way that the engines take there, where it is another."""
    direct = configured(database_url, broker_url, base_delay=0.4, max_delay=0.4, max_retries=2)
    # No retention: what is published is swept at once, so that the broom is at work during every fault.
    direct["outbox"] = {"retention": 0.0}
    direct["server"] |= settings
    things = build_things(direct)
    things.domain.database()
    trial = Trial(
        {**direct, **(through or {})},
        folder / "server.log",
        direct=direct,
        folder=folder,
        oracle=Oracle(things, _driverless(database_url), broker_url),
    )
    try:
        yield trial
    finally:
        trial.kill_all()
        things.domain.close()


@dataclass(frozen=True, slots=True)
class Place:
    """An empty database and an empty logical database of the broker, for the tests of one module."""

    folder: Path
    database_url: str
    broker_url: str


@pytest.fixture(scope="module")
def place(
    postgresql_url: str,
    redis_url: str,
    _logical_databases: Iterator[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    """One for a whole module: starting six processes takes longer than most of what is done to them."""
    name = f"test_{uuid4().hex[:12]}"
    number = next(_logical_databases)
    parts = urlsplit(redis_url)
    broker_url = (
        f"unix://{parts.path}?db={number}" if parts.scheme == "unix" else urlunsplit(parts._replace(path=f"/{number}"))
    )
    with Redis.from_url(broker_url) as broker:
        broker.flushdb()
    with psycopg.connect(_driverless(postgresql_url), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        database_url = urlunsplit(urlsplit(_driverless(postgresql_url))._replace(path=f"/{name}"))
        yield Place(tmp_path_factory.mktemp("trial"), database_url, broker_url)
    finally:
        with psycopg.connect(_driverless(postgresql_url), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _driverless(url: str) -> str:
    """`postgresql+psycopg://` as libpq reads it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"
