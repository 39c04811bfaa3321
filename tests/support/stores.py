"""Every kind of database, as the configuration of a domain whose deliveries the tests make themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Several domains may be built of it: over the same database, but for `memory`, which each has its own."""
    database = {"provider": request.param, "database_uri": ""}
    if request.param == "sqlite":
        database["database_uri"] = f"sqlite:///{tmp_path / 'stored.db'}"
    if request.param == "postgresql":
        database["database_uri"] = request.getfixturevalue("database_url")
    return {
        "databases": {"default": database},
        "brokers": {"default": {"provider": "memory"}},
        "event_processing": "async",
    }
