"""What is refused, and how it is said."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from protean.config import Config, masked
from protean.exceptions import ConfigurationError


def read(text: str, **options: Any) -> Config:
    return Config.from_mapping(tomllib.loads(text), environ={}, **options)


def problem(text: str, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(text, **options)
    return str(caught.value).replace(" of the configuration", "").replace(" in the configuration", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[server.priority_lanes]\ntreshold = 1",
            "unknown key `treshold` in [server.priority_lanes], did you mean `threshold`?",
        ),
        ("[sever]\ntick_interval = 1", "unknown section [sever], did you mean `server`?"),
        ("event_procesing = 1", "unknown key `event_procesing`, did you mean `event_processing`?"),
        ("[production.outbox]\nborker = 'x'", "unknown key `borker` in [production.outbox], did you mean `broker`?"),
        ("[databases.main]\nprovidr = 'x'", "unknown key `providr` in [databases.main], did you mean `provider`?"),
        ("[server]\nmessages_per_tick = '8'", "`messages_per_tick` in [server] is '8': must be a valid integer"),
        (
            "[server]\nmessages_per_tick = '${N|many}'",
            "`messages_per_tick` in [server] is '${N|many}': must be a valid integer",
        ),
        (
            "[outbox]\nmessages_per_tick = 0",
            "`messages_per_tick` in [outbox] is 0: must be greater than or equal to 1",
        ),
        ("[outbox]\ntick_interval = nan", "`tick_interval` in [outbox] is nan: must be a finite number"),
        ("event_processing = 'later'", "`event_processing` is 'later': must be 'sync' or 'async'"),
        ("server = 3", "`server` is 3: must be a table"),
        (
            "[server.priority_lanes]\nbackfill_suffix = 'dlq'",
            "`backfill_suffix` in [server.priority_lanes] is 'dlq': cannot be `dlq`, which names another stream",
        ),
        (
            "[server.priority_lanes]\nbackfill_suffix = 'a:b'",
            "`backfill_suffix` in [server.priority_lanes] is 'a:b': must match '^[a-z0-9_-]+$'",
        ),
        (
            "[server.retry]\nbase_delay = 10\nmax_delay = 5",
            "[server.retry]: max_delay 5.0 is less than base_delay 10.0",
        ),
        (
            "[databases.default]\nprovider = 'postgresql'",
            '[databases.default]: provider "postgresql" needs `database_uri`',
        ),
        (
            "[databases.default]\nprovider = 'sqlite'\ndatabase_uri = 'postgresql://u:hush@h/d'",
            '[databases.default]: provider "sqlite" does not go with `database_uri`, which is one of postgresql',
        ),
        (
            "[brokers.default]\nuri = 'amqp://u:hush@h'",
            (
                "`uri` in [brokers.default] is 'amqp://u:***@h': "
                "must begin with one of embedded, redis, rediss, unix, memory"
            ),
        ),
    ],
)
def test_a_mistake_is_named_with_key_value_and_reason(text: str, said: str) -> None:
    assert problem(text) == said


def test_async_needs_a_broker() -> None:
    assert 'event_processing = "async" needs a broker: add [brokers.default]' in problem("event_processing = 'async'")


@pytest.mark.parametrize("processing", ["", "event_processing = 'sync'\n", "event_processing = 'async'\n"])
def test_a_broker_that_somebody_named_has_to_be_there(processing: str) -> None:
    """Or a typo would have events handled at the commit, in silence."""
    text = f"{processing}[outbox]\nbroker = 'mian'\n[brokers.main]\nuri = 'redis://h'"
    assert "broker of [outbox] names 'mian', and there is no [brokers.mian], did you mean `main`?" in problem(text)


def test_all_problems_of_a_file_are_told_at_once() -> None:
    said = problem("x = 1\n[server]\ny = 1\n[production.outbox]\nz = 1")
    assert said.count("\n- ") == 3


def test_a_mistake_in_the_base_is_told_once_and_also_where_an_overlay_hides_it() -> None:
    text = "[server]\nmessages_per_tick = 'x'\n[production.server]\nmessages_per_tick = 5\n[staging.server]\n"
    for env in (None, "production", "staging"):
        assert problem(text, env=env) == "`messages_per_tick` in [server] is 'x': must be a valid integer"


@pytest.mark.parametrize(
    ("text", "database", "broker", "processing"),
    [
        ("", "memory", None, "sync"),
        ("[databases.default]\ndatabase_uri = 'embedded'", "postgresql", None, "sync"),
        ("[databases.default]\ndatabase_uri = 'sqlite:///x.db'", "sqlite", None, "sync"),
        ("[databases.default]\ndatabase_uri = 'postgresql+psycopg://h/d'", "postgresql", None, "sync"),
        ("[brokers.default]\nuri = 'embedded'", "memory", "redis", "async"),
        ("[brokers.default]\nuri = 'unix:///tmp/s'", "memory", "redis", "async"),
        ("[brokers.default]\nprovider = 'memory'", "memory", "memory", "sync"),
        ("event_processing = 'sync'\n[brokers.default]\nuri = 'redis://h'", "memory", "redis", "sync"),
    ],
)
def test_providers_and_processing_follow_from_the_addresses(
    text: str, database: str, broker: str | None, processing: str
) -> None:
    config = read(text)
    assert config.databases["default"].provider == database
    assert (config.brokers["default"].provider if config.brokers else None) == broker
    assert config.event_processing == processing


def test_what_is_not_in_force_need_not_be_complete() -> None:
    text = """
    event_processing = "async"
    [databases.default]
    provider = "postgresql"
    database_uri = "${DEVELOPMENT_URI|}"
    [production.databases.default]
    database_uri = "postgresql://h/d"
    [production.brokers.default]
    uri = "redis://h"
    [staging.databases.other]
    provider = "sqlite"
    database_uri = "${STAGING_URI}"
    """
    assert read(text, env="production").databases["default"].database_uri == "postgresql://h/d"
    assert problem(text) == '[databases.default]: provider "postgresql" needs `database_uri`'


def test_default_is_among_the_databases_even_when_only_others_are_named() -> None:
    assert set(read("[databases.archive]\ndatabase_uri = 'sqlite:///x'").databases) == {"default", "archive"}


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://me:hush@host/db",
        "postgresql://me:hu@hush@host/db",
        "redis://:hush/hush?hush#hush@host:6379/0",
        "postgresql://host/db?password=hush&sslmode=require",
        "postgresql://host/db?sslmode=require&sslpassword=hush",
    ],
)
def test_passwords_are_never_shown(uri: str) -> None:
    assert "hush" not in masked(uri)
    assert "host" in masked(uri)
    scheme = uri.partition(":")[0]
    section, key = ("databases", "database_uri") if scheme == "postgresql" else ("brokers", "uri")
    config = Config.from_mapping({section: {"default": {key: uri}}}, environ={})
    assert "hush" not in repr(config) + str(config)
    assert uri in (config.databases["default"].database_uri, *(broker.uri for broker in config.brokers.values()))
    for wrong in ({key: [uri]}, {key: uri, "provider": "x"}, {key: uri, "poolsize": 3}, {key: "x" + uri}):
        with pytest.raises(ConfigurationError) as caught:
            Config.from_mapping({section: {"default": wrong}}, environ={})
        assert "hush" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_configuration_does_not_change() -> None:
    config: Any = read("")
    with pytest.raises(ValueError, match="frozen"):
        config.server.messages_per_tick = 5
