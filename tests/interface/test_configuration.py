"""Every key of domain.toml that the documentation names is read, overlaid and found where it is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from protean.config import Config, load

FILE = """
event_processing = "async"
command_processing = "async"
create_tables = false

[server]
default_subscription_type = "stream"
messages_per_tick = 7
tick_interval = 0.5

[server.priority_lanes]
enabled = true
threshold = -10
backfill_suffix = "later"

[outbox]
messages_per_tick = 8
tick_interval = 0.25
broker = "theirs"

[databases.default]
provider = "postgresql"
database_uri = "${DATABASE_URL|postgresql://localhost/none}"

[brokers.theirs]
provider = "redis"
uri = "redis://localhost/1"

[production.server]
messages_per_tick = 70
"""
KEYS = [
    *(f"[server] {key}" for key in ("default_subscription_type", "messages_per_tick", "tick_interval")),
    *(f"[server.priority_lanes] {key}" for key in ("enabled", "threshold", "backfill_suffix")),
    *(f"[outbox] {key}" for key in ("messages_per_tick", "tick_interval", "broker")),
    *(f"[databases.default] {key}" for key in ("provider", "database_uri")),
    *(f"[brokers.default] {key}" for key in ("provider", "uri")),
    *("event_processing", "command_processing", "create_tables"),
]


@pytest.mark.proves(*KEYS)
def test_every_key_is_read_and_overlaid(tmp_path: Path) -> None:
    (tmp_path / "domain.toml").write_text(FILE)
    environ = {"DATABASE_URL": "postgresql://elsewhere/some"}

    config = load(tmp_path, environ=environ)

    server, lanes, outbox = config.server, config.server.priority_lanes, config.outbox
    assert (server.default_subscription_type, server.messages_per_tick, server.tick_interval) == ("stream", 7, 0.5)
    assert (lanes.enabled, lanes.threshold, lanes.backfill_suffix) == (True, -10, "later")
    assert (outbox.messages_per_tick, outbox.tick_interval, outbox.broker) == (8, 0.25, "theirs")
    database, broker = config.databases["default"], config.brokers["theirs"]
    assert (database.provider, str(database.database_uri)) == ("postgresql", "postgresql://elsewhere/some")
    assert (broker.provider, str(broker.uri)) == ("redis", "redis://localhost/1")
    assert (config.event_processing, config.command_processing, config.create_tables) == ("async", "async", False)
    production = load(tmp_path, environ={**environ, "PROTEAN_ENV": "production"})
    assert (production.server.messages_per_tick, production.server.tick_interval) == (70, 0.5)


@pytest.mark.parametrize("name", [".domain.toml", "domain.toml", "pyproject.toml"])
def test_the_file_is_looked_up_under_its_names_in_the_folder_and_two_above(tmp_path: Path, name: str) -> None:
    section = "tool.protean.server" if name == "pyproject.toml" else "server"
    (tmp_path / name).write_text(f"[{section}]\nmessages_per_tick = 9\n")
    near, far = tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"
    far.mkdir(parents=True)

    found: list[Config] = [load(folder, environ={}) for folder in (tmp_path, near, far)]

    assert [config.server.messages_per_tick for config in found] == [9, 9, 100]
