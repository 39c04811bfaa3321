"""Which file is read, and what its variables and overlays do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protean.config import Config, load
from protean.config.reading import merged
from protean.exceptions import ConfigurationError


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_without_a_file_everything_is_in_memory(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    config = load(folder, environ={})
    assert (config.source, config.root) == (None, folder)
    assert (config.databases["default"].provider, config.brokers) == ("memory", {})
    assert config.event_processing == "sync"
    assert not config.server.priority_lanes.enabled


def test_the_nearest_file_wins_up_to_two_folders_above(tmp_path: Path) -> None:
    far = write(tmp_path / "domain.toml", "create_tables = false")
    inner = tmp_path / "one" / "two"
    inner.mkdir(parents=True)
    assert load(inner, environ={}).source == far
    assert load(inner, environ={}).root == tmp_path
    (inner / "three").mkdir()
    assert load(inner / "three", environ={}).source is None
    near = write(inner.parent / "pyproject.toml", "[tool.protean]\ncreate_tables = false")
    assert load(inner, environ={}).source == near
    assert load(inner, environ={}).create_tables is False
    dotted = [write(inner.parent / name, "") for name in ("domain.toml", ".domain.toml")][1]
    assert load(inner, environ={}).source == dotted


def test_somebody_elses_pyproject_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[tool.other]\nx = 1")
    assert load(tmp_path, environ={}).source is None


@pytest.mark.parametrize(("env", "enabled"), [(None, False), ("production", True), ("staging", False)])
def test_the_guides_overlay_enables_lanes_in_production_only(tmp_path: Path, env: str | None, enabled: bool) -> None:
    write(
        tmp_path / "domain.toml",
        """
        [server.priority_lanes]
        enabled = false
        backfill_suffix = "later"
        [production.server.priority_lanes]
        enabled = true
        threshold = 0
        """,
    )
    for config in (load(tmp_path, env=env, environ={}), load(tmp_path, environ={"PROTEAN_ENV": env} if env else {})):
        assert config.server.priority_lanes.enabled is enabled
        assert config.server.priority_lanes.backfill_suffix == "later"
        assert config.creates_tables is (env != "production")


@pytest.mark.parametrize(
    ("overlay", "env", "said"),
    [
        ("production", "prodution", ["PROTEAN_ENV is `prodution`, for which domain.toml has no overlay, did you mean"]),
        ("production", "staging", ["for which domain.toml has no overlay, only for production"]),
        ("prodution", None, ["[prodution] of domain.toml is in force where PROTEAN_ENV is `prodution`, did you mean"]),
        ("prodution", "production", ["for which domain.toml has no overlay", "[prodution] of domain.toml is in force"]),
        ("production", "production", []),
        ("production", None, []),
        ("staging", "staging", []),
    ],
)
def test_an_overlay_that_is_not_there_or_that_nobody_asks_for_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, overlay: str, env: str | None, said: list[str]
) -> None:
    write(tmp_path / "domain.toml", f"[{overlay}.server]\nmessages_per_tick = 5")

    load(tmp_path, env=env, environ={})

    assert len(caplog.messages) == len(said)
    assert all(part in message for part, message in zip(said, caplog.messages, strict=True))


def test_a_warning_of_names_holds_nothing_a_terminal_obeys(caplog: pytest.LogCaptureFixture) -> None:
    Config.from_mapping({"production": {}, "\x1b[31m\ud800": {}}, env="\x1b[2J", environ={})

    assert caplog.messages == [
        r"PROTEAN_ENV is `\x1b[2J`, for which the configuration has no overlay, only for production, \x1b[31m\ud800"
    ]


def test_variables_are_filled_in_and_typed(tmp_path: Path) -> None:
    write(
        tmp_path / "domain.toml",
        """
        [server]
        messages_per_tick = "${TICK|50}"
        tick_interval = "${PAUSE}"
        [server.priority_lanes]
        enabled = "${LANES}"
        [databases.default]
        database_uri = "postgresql://${USER|me}:$${x}@${HOST|}/db"
        [custom]
        list = ["${HOST|here}"]
        """,
    )
    config = load(tmp_path, environ={"PAUSE": "0.5", "LANES": "true", "HOST": "there"})
    assert (config.server.messages_per_tick, config.server.tick_interval) == (50, 0.5)
    assert config.server.priority_lanes.enabled is True
    assert config.databases["default"].database_uri == "postgresql://me:${x}@there/db"
    assert config.custom == {"list": ["there"]}


def test_a_default_stands_in_for_an_empty_variable_as_in_a_shell(tmp_path: Path) -> None:
    write(
        tmp_path / "domain.toml",
        '[databases.default]\ndatabase_uri = "${DATABASE_URL|embedded}"\n[custom]\nbare = "<${BARE}>"',
    )
    config = load(tmp_path, environ={"DATABASE_URL": "", "BARE": ""})
    assert config.databases["default"].database_uri == "embedded"
    assert config.custom == {"bare": "<>"}  # without a default, empty is what was asked for


def test_a_missing_variable_is_named_with_its_key_where_it_is_needed(tmp_path: Path) -> None:
    write(
        tmp_path / "domain.toml",
        '[production.databases.default]\ndatabase_uri = "${DATABASE_URL}"\n[custom]\nkey = "${KEY}"',
    )
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, environ={})
    assert str(caught.value) == (
        "`key` in [custom] of domain.toml needs the environment variable KEY, which is not set; "
        "set it, or give a default: ${KEY|…}"
    )
    with pytest.raises(
        ConfigurationError, match=r"\[production.databases.default\] of domain.toml needs .* DATABASE_URL"
    ):
        load(tmp_path, env="production", environ={"KEY": "x"})


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "domain.toml", "[server\n")
    with pytest.raises(ConfigurationError, match=rf"{file} is not valid TOML: .*line 1"):
        load(tmp_path, environ={})
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"domain\.toml cannot be read"):
        load(tmp_path, environ={})
    file.write_text("[a" + ".a" * 5000 + "]\n")
    with pytest.raises(ConfigurationError):
        load(tmp_path, environ={})


SNIPPETS = [
    *("[server]", "[outbox]", "[databases.default]", "[brokers.default]", "[production.server]", "[", "]", "{}"),
    *("threshold", "database_uri", "broker", "uri", "=", ".", "3", "nan", '"', '"${X|1}"', '"redis://:pw@h"', "\n"),
]


@given(text=st.text(max_size=50) | st.lists(st.sampled_from(SNIPPETS), max_size=15).map(" ".join))
def test_any_text_gives_a_configuration_or_a_configuration_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz" / "domain.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text.encode(errors="surrogatepass"))
    try:
        assert load(file.parent, environ={}).source == file
    except ConfigurationError as error:
        assert "domain.toml" in str(error)  # noqa: PT017 -- either outcome is right
        assert ":pw@" not in str(error)  # noqa: PT017 -- as above


tables = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.integers() | inner, max_size=3),
    max_leaves=8,
)


@given(tables, tables, tables)
def test_overlaying_is_associative_and_the_overlay_wins(
    base: dict[str, object], over: dict[str, object], top: dict[str, object]
) -> None:
    assert merged(base, {}) == merged({}, base) == merged(base, base) == base
    assert set(merged(base, over)) == set(base) | set(over)
    assert merged(over, merged(base, over)) == merged(over, merged(base, over))
    for key, value in over.items():
        if not isinstance(value, dict):
            assert merged(base, over)[key] == value
