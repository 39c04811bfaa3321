"""The guide's application on a database and a broker of its own: one for a test, or one for all tests of a chapter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from redis import Redis
from tests.guide.application import Application, application_folder

#: Settings of whoever runs the tests, which would lead the application elsewhere.
FOREIGN = ("DATABASE_URL", "REDIS_URL", "PROTEAN_ENV", "PROTEAN_DOMAIN", "FORCE_COLOR")

_brokers_in_use: set[int] = set()


@pytest.fixture
def app(postgresql_url: str, redis_url: str) -> Iterator[Application]:
    """For a test that changes the configuration, or counts from zero."""
    with opened(postgresql_url, redis_url) as app:
        yield app


@pytest.fixture(scope="module")
def shared(postgresql_url: str, redis_url: str) -> Iterator[Application]:
    """For the tests of a chapter that look at the same events."""
    with opened(postgresql_url, redis_url) as app:
        yield app


@contextmanager
def opened(postgresql_url: str, redis_url: str) -> Iterator[Application]:
    with (
        application_folder() as folder,
        own_database(postgresql_url) as database_url,
        own_broker(redis_url) as broker_url,
    ):
        env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        env |= {"DATABASE_URL": database_url, "REDIS_URL": broker_url}
        broker = Redis.from_url(broker_url, decode_responses=True)
        app = Application(folder, env, driverless(database_url), broker_url, broker)
        try:
            yield app
        finally:
            app.close()


@contextmanager
def own_database(postgresql_url: str) -> Iterator[str]:
    name = f"guide_{uuid4().hex[:12]}"
    with psycopg.connect(driverless(postgresql_url), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        try:
            yield urlunsplit(urlsplit(postgresql_url)._replace(path=f"/{name}"))
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def own_broker(redis_url: str) -> Iterator[str]:
    """A logical database that nobody else uses until it is given back; number 0 is other people's."""
    with Redis.from_url(redis_url) as server:
        count = int(server.config_get("databases")["databases"])
    number = next(each for each in range(1, count) if each not in _brokers_in_use)
    parts = urlsplit(redis_url)
    # urlunsplit would drop the empty host of a socket with its slashes.
    unix = parts.scheme == "unix"
    url = f"unix://{parts.path}?db={number}" if unix else urlunsplit(parts._replace(path=f"/{number}"))
    _brokers_in_use.add(number)
    with Redis.from_url(url) as server:
        server.flushdb()
        try:
            yield url
        finally:
            server.flushdb()
            _brokers_in_use.discard(number)


def driverless(url: str) -> str:
    """`postgresql+psycopg://` as libpq reads it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"
