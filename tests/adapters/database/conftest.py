"""One empty database of each kind, with the contracts' tables set up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from protean.adapters.memory.database import MemoryDatabase
from protean.adapters.sql import SqlDatabase
from protean.ports.database import Database
from protean.testing.contracts.database_steps import TABLES


@pytest.fixture(params=["memory", "sqlite", "sqlite-file", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    opened: MemoryDatabase | SqlDatabase
    if request.param == "memory":
        opened = MemoryDatabase()
    elif request.param == "sqlite":
        opened = SqlDatabase("sqlite://")
    elif request.param == "sqlite-file":
        opened = SqlDatabase(f"sqlite:///{tmp_path}/test.db")
    else:
        opened = SqlDatabase(request.getfixturevalue("database_url"), pool_size=8)
    opened.setup(TABLES)
    yield opened
    opened.close()


@pytest.fixture
def postgresql(database_url: str) -> Iterator[SqlDatabase]:
    opened = SqlDatabase(database_url, pool_size=4, application_name="tests")
    opened.setup(TABLES)
    yield opened
    opened.close()
