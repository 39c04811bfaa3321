"""Whatever a configuration says: it is one, or it is refused with a ConfigurationError; nothing else happens."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protean.config import Config, load
from protean.config.schema import Section
from protean.exceptions import ConfigurationError

EXAMPLE = (Path(__file__).parents[2] / "examples" / "my_app" / "domain.toml").read_text(encoding="utf-8")
ENVIRON = {"SET": "5", "EMPTY": "", "PASSWORD": "s3cret", "LONG": "9" * 5000}

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from([
        "", "5", "true", "${SET}", "${EMPTY}", "${LONG}", "${UNSET}", "${UNSET|7}", "$${SET}", "${SET|", "embedded",
        "postgresql://u:s3cret@h/d", "redis://:s3cret@h:99999/x", "sqlite://", "memory", "x" * 5000, "a\0b", "\ud800",
    ]),
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -1, 0, 2**63]),
    st.floats(),
    TEXTS,
    st.dates(),
    st.datetimes(),
    st.binary(max_size=3),
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)


def sections(annotation: Any) -> list[type[Section]]:
    """The sections an annotation means: itself, or what its containers hold."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    inner = get_args(annotation) if get_origin(annotation) in (dict, types.UnionType) else ()
    return [section for each in inner for section in sections(each)]


def table_of(section: type[Section]) -> st.SearchStrategy[dict[str, Any]]:
    """Tables with the section's own keys most of the time, and under each what belongs there or anything."""
    keys: dict[str, st.SearchStrategy[Any]] = {}
    for name, option in section.model_fields.items():
        below = sections(option.annotation)
        if below and get_origin(option.annotation) is dict:
            keys[name] = st.dictionaries(st.just("default") | TEXTS, table_of(below[0]), max_size=2) | ANYTHING
        elif below:
            keys[name] = table_of(below[0]) | ANYTHING
        else:
            keys[name] = ANYTHING
    known = st.fixed_dictionaries({}, optional=keys)
    return known | st.builds(lambda a, b: {**a, **b}, known, st.dictionaries(TEXTS, ANYTHING, max_size=2))


def assert_a_configuration_or_refused(config: Any) -> None:
    said = "a configuration"
    try:
        assert isinstance(config(), Config)
    except ConfigurationError as error:
        said = str(error)
    assert said
    assert "s3cret" not in said


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    table=table_of(Config) | st.dictionaries(TEXTS, ANYTHING, max_size=3),
    overlay=table_of(Config),
    env=st.sampled_from([None, "", "production", "prod", "server", "\0"]),
)
def test_any_mapping_is_a_configuration_or_refused(
    table: dict[str, Any], overlay: dict[str, Any], env: str | None
) -> None:
    assert_a_configuration_or_refused(
        lambda: Config.from_mapping({**table, "production": overlay}, env=env, environ=ENVIRON)
    )


@st.composite
def changed_texts(draw: st.DrawFn) -> str:
    """The example's file with pieces cut out, doubled and put in."""
    text = EXAMPLE
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        put = draw(
            st.one_of(
                st.just(text[start:end] * 2),
                st.text(max_size=8),
                st.sampled_from(
                    ["[", "]", "[[", "=", '"', '"""', "\n[server]\n", "\n[databases]\n", "nan", "\r", "\x00"]
                ),
                st.sampled_from(
                    ["\na.b.c = 1\n", "\n[tool.protean]\n", "[" * 2000, "{a={" * 500, "1979-05-27", "\ufeff"]
                ),
            )
        )
        text = text[:start] + put + text[end:]
    return text


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(text=changed_texts() | st.text(max_size=60), name=st.sampled_from(["domain.toml", "pyproject.toml"]))
def test_any_file_is_a_configuration_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str, name: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "configuration" / "a" / "b"
    folder.mkdir(parents=True, exist_ok=True)
    for other in ("domain.toml", "pyproject.toml"):
        (folder / other).unlink(missing_ok=True)
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    assert_a_configuration_or_refused(lambda: load(folder, environ=ENVIRON))


@pytest.mark.parametrize("value", [10**5000, float("nan"), [10**5000], {"a": object()}, object()], ids=type)
def test_a_value_that_cannot_even_be_shown_is_refused(value: Any) -> None:
    for section in ("server", "outbox"):
        assert_a_configuration_or_refused(
            lambda: Config.from_mapping({section: {"messages_per_tick": value}}, environ=ENVIRON)  # noqa: B023  # at once
        )
    assert_a_configuration_or_refused(lambda: Config.from_mapping({"server": value}, environ=ENVIRON))
    assert_a_configuration_or_refused(lambda: Config.from_mapping({"unheard_of": value}, environ=ENVIRON))


@pytest.mark.parametrize(
    "table",
    [
        {"postgresql://u:s3cret@h/d": 1},
        {"server": {"postgresql://u:s3cret@h/d": 1}},
        {"databases": {"postgresql://u:s3cret@h/d": {"pool_size": 0}}},
        {"databases": {"default": {"database_uri": "mysql://u:s3cret@h/d"}}},
        {"server": "redis://:s3cret@h/0"},
    ],
    ids=str,
)
def test_an_address_that_was_pasted_where_it_does_not_belong_shows_no_password(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config.from_mapping(table, environ=ENVIRON)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("depth", [100, 1_000, 100_000])
def test_a_configuration_nested_beyond_reason_is_refused(tmp_path: Path, depth: int) -> None:
    (tmp_path / "domain.toml").write_text(f"custom = {'{a=' * depth}1{'}' * depth}")
    assert_a_configuration_or_refused(lambda: load(tmp_path, environ=ENVIRON))
    nested: dict[str, Any] = {}
    for _ in range(depth):
        nested = {"a": nested}
    assert_a_configuration_or_refused(lambda: Config.from_mapping({"custom": nested}, environ=ENVIRON))
