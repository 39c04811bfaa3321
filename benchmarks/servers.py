"""Where the servers come from: DATABASE_URL and REDIS_URL, else embedded ones that end with the run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from redis import Redis

from protean.adapters import embedded


@dataclass(frozen=True, slots=True)
class Servers:
    """A PostgreSQL on which databases can be made, and a broker with an empty logical database."""

    postgresql: str
    redis: str
    embedded: bool

    @contextmanager
    def room(self) -> Iterator[dict[str, str]]:
        """A database of one scenario's own, as the environment that names it; dropped afterwards."""
        name = f"protean_bench_{uuid4().hex[:12]}"
        with psycopg.connect(_driverless(self.postgresql), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield {"DATABASE_URL": _with_database(self.postgresql, name), "REDIS_URL": self.redis}
        finally:
            with psycopg.connect(_driverless(self.postgresql), autocommit=True) as admin:
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            with Redis.from_url(self.redis) as broker:
                broker.flushdb()

    def facts(self) -> dict[str, str]:
        """Versions, and the settings that decide what a commit costs."""
        with psycopg.connect(_driverless(self.postgresql), autocommit=True) as admin:
            settings = {
                name: str(admin.execute(f"SHOW {name}").fetchone()[0])  # type: ignore[index]  # SHOW returns a row
                for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers")
            }
        with Redis.from_url(self.redis) as broker:
            info = broker.info("server")
            appending = broker.config_get("appendonly")["appendonly"]
        version = info.get("valkey_version") or info["redis_version"]
        return {
            "servers": "embedded" if self.embedded else "given",
            "postgresql": settings.pop("server_version").split()[0],
            **settings,
            "broker": f"{info.get('server_name', 'redis')} {version}",
            "appendonly": str(appending),
        }


@contextmanager
def servers() -> Iterator[Servers]:
    """The servers of this run. Embedded ones live in a temporary folder and are ended, whatever happens."""
    # Not below a folder of this user's alone: as root the servers run under another account.
    folder = Path(tempfile.mkdtemp(prefix="protean-bench-"))
    folder.chmod(0o755)
    home = folder / ".protean"
    given_database, given_broker = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    try:
        database = given_database or embedded.postgresql(home).uri
        broker = _empty_database(given_broker or embedded.valkey(home).uri)
        yield Servers(database, broker, embedded=not (given_database or given_broker))
    finally:
        embedded.stop(home)
        shutil.rmtree(folder, ignore_errors=True)


def _empty_database(url: str) -> str:
    """The first logical database that nobody uses; 0 is left to others. Raises RuntimeError if there is none."""
    with Redis.from_url(url) as server:
        count = int(server.config_get("databases")["databases"])
    for number in range(1, count):
        candidate = _with_number(url, number)
        with Redis.from_url(candidate) as server:
            if server.dbsize() == 0:
                return candidate
    raise RuntimeError("the broker has no empty logical database to measure in")


def _with_number(url: str, number: int) -> str:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}?db={number}"  # urlunsplit would drop the empty host with its slashes
    return urlunsplit(parts._replace(path=f"/{number}"))


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(_driverless(url))._replace(path=f"/{name}"))


def _driverless(url: str) -> str:
    """`postgresql+psycopg://` as libpq reads it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"
