"""Servers for every test: those of DATABASE_URL and REDIS_URL, else embedded ones that end with the run."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from redis import Redis

from protean.adapters.embedded import postgresql, stop, valkey
from protean.server.output import LANES


@pytest.fixture(scope="session")
def embedded_home() -> Iterator[Path]:
    """One home for the whole run: a start costs a second, a database of one's own some milliseconds.

    Not pytest's own temporary folder: its path is long, and closed to the account that servers run under.
    """
    folder = Path(tempfile.mkdtemp(prefix="protean-tests-"))
    folder.chmod(0o755)
    home = folder / ".protean"
    yield home
    stop(home)
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands that run here send the log to the console there is then, which is gone with the test."""
    loggers = [logging.getLogger(name) for name in ("protean", LANES)]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(scope="session")
def postgresql_url(request: pytest.FixtureRequest) -> str:
    """A PostgreSQL on which databases can be created."""
    given = os.environ.get("DATABASE_URL")
    return given or postgresql(request.getfixturevalue("embedded_home")).uri


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """A Redis-protocol server whose logical databases are ours to flush."""
    given = os.environ.get("REDIS_URL")
    return given or valkey(request.getfixturevalue("embedded_home")).uri


@pytest.fixture
def database_url(postgresql_url: str) -> Iterator[str]:
    """An empty database of this test's own, dropped afterwards even if connections are still open."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(_driverless(postgresql_url), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        yield urlunsplit(urlsplit(postgresql_url)._replace(path=f"/{name}"))
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def _logical_databases(redis_url: str) -> Iterator[int]:
    with Redis.from_url(redis_url) as server:
        count = int(server.config_get("databases")["databases"])
    # Number 0 is left alone: on a server named by REDIS_URL it is where other people's keys are. Processes that share
    # the tests among them share the rest, every so many-th for each.
    process = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return itertools.cycle(range(1 + int(process), count, processes))


@pytest.fixture
def broker_url(redis_url: str, _logical_databases: Iterator[int]) -> str:
    """A logical database, empty now, that no other test uses at the same time."""
    number = next(_logical_databases)
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        url = f"unix://{parts.path}?db={number}"  # urlunsplit would drop the empty host with its slashes
    else:
        url = urlunsplit(parts._replace(path=f"/{number}"))
    with Redis.from_url(url) as server:
        server.flushdb()
    return url


def _driverless(url: str) -> str:
    """`postgresql+psycopg://` as libpq reads it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a browser; what needs one is left out where there is none, and the run's end says so."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium: install the package `chromium` (apt-get install chromium), or name one in CHROMIUM")
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was left out, loudly: a run without it has not shown what it seems to."""
    reasons: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid)
    for reason, tests in reasons.items():
        terminalreporter.section(f"LEFT OUT: {len(tests)} tests: {reason}", "!")
        for test in tests:
            terminalreporter.line(test)
