"""One domain over each kind of database, and how long histories are made up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.equal.world import World, build_world
from tests.models.conftest import without_waiting_for_the_disk
from tests.models.profiles import Profile


@pytest.fixture(params=["ci", pytest.param("long", marks=pytest.mark.faults)])
def profile(request: pytest.FixtureRequest) -> Profile:
    return Profile(request.param)


@pytest.fixture
def worlds(tmp_path: Path, database_url: str) -> Iterator[list[World]]:
    without_waiting_for_the_disk(database_url)
    databases: list[dict[str, Any]] = [
        {"provider": "postgresql", "database_uri": database_url},
        {"provider": "sqlite", "database_uri": f"sqlite:///{tmp_path / 'equal.db'}"},
        {"provider": "memory"},
    ]
    opened = [build_world(database) for database in databases]
    yield opened
    for world in opened:
        world.domain.close()
