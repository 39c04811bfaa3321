"""Twenty minutes of work and trouble, and then everything is exact, nothing has grown, and nothing is left over.

    make soak                    20 minutes, a hundred events a second, a random fault every 20 seconds
    SOAK_MINUTES=2 make soak     as long as that; SOAK_SECONDS=180 as well
    SOAK_SEED=7 make soak        the faults of that run again (the seed is printed and in the result)
    SOAK_FLUSH=0 make soak       the broker keeps what it has: nobody empties it
    SOAK_FAULTS="kill the broker,freeze a process" make soak    only these (the names are in the result)

The result is printed, one line a criterion at the end, and kept in `.faults/soak.json`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import psycopg
import pytest
from redis import Redis
from tests.faults.conftest import ROOT, Place, Trial, tried
from tests.faults.own_broker import OwnBroker
from tests.faults.proxy import Fault, Proxy, Server

SECONDS = float(os.environ.get("SOAK_SECONDS", float(os.environ.get("SOAK_MINUTES", "20")) * 60))
SEED = int(os.environ.get("SOAK_SEED", str(time.time_ns() % 1_000_000)))
RESULT = ROOT / ".faults" / "soak.json"
#: Commands a second, which raise twice as many events.
RATE = 50.0
#: Seconds from one fault to the next, and how long those last that last.
FAULT_EVERY, FAULT_LASTS = 20.0, 6.0
#: Seconds between looks at the processes.
LOOK_EVERY = 2.0
#: Seconds of a process's life that say nothing about its growth: it warms up caches, plans and pools. Without any
#: fault half a mebibyte a minute was seen for five minutes, and less than a tenth of one after that.
WARM_UP = 300.0
#: Seconds of a process's life after that from which a slope says something.
TELLING = 180.0
#: Mebibytes a minute that count as no growth: what an allocator does by itself under changing load.
NO_GROWTH = 0.5
#: Threads that come and go: of the doorbell, which connects again.
PASSING_THREADS = 3
#: Connections that come and go, of all processes together.
PASSING_CONNECTIONS = 8
#: Looks at one process that a slope is taken from, evenly chosen: it compares each with each.
COMPARED = 200


@dataclass
class Life:
    """What was seen of one process: seconds since its start, bytes, threads."""

    name: str
    seen: list[tuple[float, int, int]] = field(default_factory=list)

    @property
    def telling(self) -> list[tuple[float, int, int]]:
        return [each for each in self.seen if each[0] > WARM_UP]

    @property
    def slope(self) -> float | None:
        """Mebibytes a minute, the median of all pairs of looks; None of a life too short to tell."""
        telling = self.telling[:: len(self.telling) // COMPARED + 1]
        if not telling or telling[-1][0] - telling[0][0] < TELLING:
            return None
        return median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(telling, 2)) * 60 / 2**20

    @property
    def threads(self) -> tuple[int, int]:
        """The medians of the first and the last third."""
        return ends([threads for _, _, threads in self.telling])


def ends(counts: list[int]) -> tuple[int, int]:
    """The medians of the first and the last third: what comes and goes in between does not count."""
    third = max(len(counts) // 3, 1)
    return round(median(counts[:third] or [0])), round(median(counts[-third:] or [0]))


@dataclass
class Soak:
    """The servers, everything between them, and what has been seen and done."""

    trial: Trial
    broker: OwnBroker
    links: dict[str, Proxy]
    chance: random.Random
    lives: dict[tuple[int, float], Life] = field(default_factory=dict)
    connections: list[int] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    def run(self, seconds: float) -> None:
        until, fault_at = time.monotonic() + seconds, time.monotonic() + FAULT_EVERY / 2
        while time.monotonic() < until:
            self.look()
            if time.monotonic() >= fault_at and until - time.monotonic() > FAULT_LASTS:
                fault_at = time.monotonic() + FAULT_EVERY
                self.fault()
            time.sleep(LOOK_EVERY)

    def fault(self) -> None:
        kinds = self._kinds()
        name = self.chance.choice(sorted(kinds))
        self.faults[name] += 1
        print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
        kinds[name]()

    def look(self) -> None:
        """Note what every process of the servers has, and how many connections the database has of them."""
        for process in self.trial.everybody():
            try:
                key = (process.pid, process.create_time())
                life = self.lives.setdefault(key, Life(_name(process)))
                life.seen.append((time.time() - key[1], process.memory_info().rss, process.num_threads()))
            except psutil.NoSuchProcess:
                continue
        with psycopg.connect(self.trial.direct["databases"]["default"]["database_uri"]) as database:
            row = database.execute(_CONNECTIONS).fetchone()
        self.connections.append(0 if row is None else int(row[0]))

    def _kinds(self) -> dict[str, Callable[[], None]]:
        kinds: dict[str, Callable[[], None]] = {
            "kill a process": self._kill,
            "kill a whole server": self._kill_server,
            "freeze a process": self._freeze,
            "end all sessions of the database": self._end_sessions,
            "kill the broker": self._restart_broker,
        }
        for link in self.links:
            for fault in Fault:
                kinds[f"{fault} to the {link}"] = partial(self._fail, link, fault)
        if os.environ.get("SOAK_FLUSH", "1") != "0":
            kinds["empty the broker"] = self._flush
        wanted = [name.strip() for name in os.environ.get("SOAK_FAULTS", "").split(",") if name.strip()]
        assert set(wanted) <= kinds.keys(), f"SOAK_FAULTS: there are {sorted(kinds)}"
        return {name: kinds[name] for name in wanted or kinds}

    def _engine(self, among: list[psutil.Process]) -> psutil.Process:
        return self.chance.choice([each for each in among if "protean.server.process" in _name(each)])

    def _mortal(self) -> list[psutil.Process]:
        """The processes of the last server. The first is never killed: what grows slowly is seen in a long life."""
        parent = psutil.Process(self.trial.processes[-1].pid)
        return [parent, *parent.children(recursive=True)]

    def _kill(self) -> None:
        self._engine(self._mortal()).kill()

    def _kill_server(self) -> None:
        for process in self._mortal():
            process.kill()
        self.trial.processes.pop().wait()
        self.trial.start()

    def _freeze(self) -> None:
        """Past every timeout: its sign of life, and the time its transaction may idle."""
        frozen = self._engine(self.trial.everybody())
        frozen.send_signal(signal.SIGSTOP)
        time.sleep(FAULT_LASTS * 1.5)
        frozen.send_signal(signal.SIGCONT)

    def _end_sessions(self) -> None:
        with psycopg.connect(self.trial.direct["databases"]["default"]["database_uri"]) as database:
            database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def _restart_broker(self) -> None:
        self.broker.kill()
        time.sleep(self.chance.uniform(0, FAULT_LASTS))
        self.broker.start()

    def _flush(self) -> None:
        with Redis.from_url(self.broker.url) as broker:
            broker.flushall()

    def _fail(self, link: str, fault: Fault) -> None:
        self.links[link].fail(fault)
        time.sleep(FAULT_LASTS)
        self.links[link].heal()

    @property
    def steady_connections(self) -> list[int]:
        """Those after the warm-up; all of a soak that is hardly longer."""
        return self.connections[int(WARM_UP / LOOK_EVERY) :] or self.connections

    def result(self, seconds: float, quiet: float) -> dict[str, Any]:
        slopes: dict[str, list[float]] = defaultdict(list)
        for life in self.lives.values():
            if life.slope is not None:
                slopes[life.name].append(round(life.slope, 3))
        return {
            "seconds": round(seconds),
            "seed": SEED,
            "commands acknowledged": len(self.trial.ledger),
            "commands of unknown outcome": self.trial.ledger.unknown,
            "dead letters": self.trial.oracle.dead(),
            "faults": dict(sorted(self.faults.items())),
            "processes": len(self.lives),
            "seconds until quiet": round(quiet, 2),
            "MiB a minute": slopes,
            "threads, first and last third": {
                f"{life.name} {pid}": life.threads for (pid, _), life in self.lives.items()
            },
            "database connections, most": max(self.connections),
            "database connections, first and last third": ends(self.steady_connections),
        }


# Those of the servers: the clients' and the oracle's bear the name of the domain.
_CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name NOT LIKE 'protean.%' AND pid <> pg_backend_pid()
"""


@pytest.fixture
def soak(place: Place) -> Iterator[Soak]:
    broker = OwnBroker(place.folder)
    broker.start()
    links = {"database": Proxy(Server.of_database(place.database_url)), "broker": Proxy(Server.of_broker(broker.url))}
    through = {
        "databases": {"default": {"database_uri": links["database"].database_url(place.database_url)}},
        "brokers": {"default": {"uri": links["broker"].broker_url(broker.url)}},
    }
    with tried(place.folder, place.database_url, broker.url, through) as trial:
        trial.start(servers=2)
        yield Soak(trial, broker, links, random.Random(SEED))
    for proxy in links.values():
        proxy.close()
    broker.kill()


@pytest.mark.soak
def test_after_all_that_everything_is_exact_and_nothing_has_grown(
    soak: Soak, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    with soak.trial.load(rate=RATE), capsys.disabled():
        soak.run(SECONDS)
    owed = soak.trial.oracle.owed()
    quiet = soak.trial.settle(60.0)
    soak.look()
    result = soak.result(time.monotonic() - began, quiet) | {"owed when the clients ended": owed}
    violations = soak.trial.oracle.violations(soak.trial.ledger)
    result["violations"] = violations[:100]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1))
    log = soak.trial.last_words(100_000_000)
    Path(RESULT.with_suffix(".log")).write_text(log)
    criteria = _criteria(soak, result, violations, log)
    with capsys.disabled():
        print(json.dumps(result, indent=1), file=sys.stderr)
        for name, (holds, found) in criteria.items():
            print(f"soak: {'ok' if holds else 'NOT OK'}  {name}: {found}", file=sys.stderr)
    broken = {name: found for name, (holds, found) in criteria.items() if not holds}
    assert not broken, f"{broken} {violations[:20]}"


def _criteria(soak: Soak, result: dict[str, Any], violations: list[str], log: str) -> dict[str, tuple[bool, str]]:
    """Each with whether it holds, and what was found."""
    slopes = {name: max(each) for name, each in result["MiB a minute"].items()}
    threads = [last - first for first, last in (life.threads for life in soak.lives.values())]
    first, last = ends(soak.steady_connections)
    grown = (
        ", ".join(f"{name} {slope:+.2f}" for name, slope in slopes.items()) or "no process lived long enough to tell"
    )
    return {
        "exact": (not violations, f"{len(violations)} violations in {len(soak.trial.ledger)} commands"),
        "quiet": (True, f"after {result['seconds until quiet']} s"),
        "no thread broke down": ("broke down" not in log, f"{log.count('broke down')} did"),
        "memory": (max(slopes.values(), default=0.0) <= NO_GROWTH, f"MiB a minute, the worst of each kind: {grown}"),
        "threads": (
            max(threads, default=0) <= PASSING_THREADS,
            f"at most {max(threads, default=0):+d} in one of {len(threads)} processes",
        ),
        "connections": (last - first <= PASSING_CONNECTIONS, f"{first} at first, {last} at last"),
    }


def _name(process: psutil.Process) -> str:
    """`primary` and `backfill` processes, and supervisors."""
    command = " ".join(process.cmdline())
    if "protean.server.process" not in command:
        return "supervisor"
    return f"protean.server.process {'backfill' if 'backfill' in command else 'primary'}"
