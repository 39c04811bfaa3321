"""The model's world on adapters in memory, on SQLite, and on a real PostgreSQL with a real broker."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from tests.models.profiles import Profile
from tests.models.world import Clock, Ids, World, build_world

from protean.deliver import subscription
from protean.handle import sequenced


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("protean.clock.datetime", clock)
    return clock


@pytest.fixture
def ids(monkeypatch: pytest.MonkeyPatch) -> Ids:
    ids = Ids()
    monkeypatch.setattr("protean.write.messages.new_identity", ids)
    return ids


@pytest.fixture(autouse=True)
def _no_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits, looks wait for no interval, a group ends by its number only: the same history ends the same."""
    monkeypatch.setattr(subscription, "READ_BLOCK", 0.0)
    monkeypatch.setattr(subscription, "RECLAIM_INTERVAL", 0.0)
    monkeypatch.setattr(subscription, "BACKOFF_FIRST", 0.0)
    monkeypatch.setattr(sequenced, "GROUP_TIME", 3600.0)
    monkeypatch.setattr(sequenced, "PAGE", 3)  # gaps of many pages in short histories


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    """Thousands of failures are made on purpose, each with its traceback."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(params=["ci", pytest.param("long", marks=pytest.mark.faults)])
def profile(request: pytest.FixtureRequest) -> Profile:
    return Profile(request.param)


@pytest.fixture(params=["memory", "sqlite", "servers"])
def world(request: pytest.FixtureRequest, clock: Clock, ids: Ids) -> Iterator[World]:
    database: dict[str, Any] = {"provider": "memory"}
    broker: dict[str, Any] = {"provider": "memory"}
    if request.param == "sqlite":
        database = {"provider": "sqlite", "database_uri": "sqlite://"}
    elif request.param == "servers":
        url = request.getfixturevalue("database_url")
        without_waiting_for_the_disk(url)
        database = {"provider": "postgresql", "database_uri": url, "pool_size": 10}
        broker = {"provider": "redis", "uri": request.getfixturevalue("broker_url")}
    world = build_world(database, broker, clock, ids)
    with world.domain.domain_context():
        yield world
    world.domain.close()


def without_waiting_for_the_disk(url: str) -> None:
    """Nobody cuts the power here, and thousands of commits are made."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{urlsplit(url).path[1:]}" SET synchronous_commit = off'.encode())
