"""The tour over each kind of database: opened once, emptied for every test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from tests.interface.tour import Tour, build_tour


@pytest.fixture(params=["memory", "sqlite", "postgresql"], scope="module")
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    database: dict[str, Any] = {"provider": request.param}
    if request.param == "sqlite":
        database["database_uri"] = f"sqlite:///{tmp_path_factory.mktemp('tour') / 'tour.db'}"
    server = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else ""
    name = f"tour_{uuid4().hex[:12]}"
    if server:
        _administer(server, f"CREATE DATABASE {name} TEMPLATE template0")
        database["database_uri"] = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    tour = build_tour(
        {
            "databases": {"default": database},
            "event_processing": "sync",
            "event_store": {"snapshot_threshold": 2},
            "context": {"propagate": ["tenant"]},
        }
    )
    yield tour
    tour.domain.close()
    if server:
        _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def tour(opened: Tour) -> Iterator[Tour]:
    opened.noted.clear()
    opened.domain.database().truncate(opened.domain.tables["default"])
    with opened.domain.domain_context():
        yield opened


def _administer(server: str, statement: str) -> None:
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(statement.encode())
