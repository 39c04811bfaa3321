"""A table as parsed into a checked configuration: overlays, variables, and every problem in one error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args, get_origin

import pydantic
from pydantic_core import ErrorDetails

from protean.config.interpolation import Interpolated, MissingVariableError, interpolated
from protean.config.uri import masked
from protean.exceptions import ConfigurationError
from protean.printable import printable
from protean.suggestion import did_you_mean

logger = logging.getLogger(__name__)

#: The one environment that has a meaning to the framework itself: see `create_tables`.
PRODUCTION = "production"

M = TypeVar("M", bound=pydantic.BaseModel)
Table = Mapping[str, Any]
Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table came from, for error texts: `domain.toml`, and what its sections begin with there."""

    name: str
    prefix: Keys = ()
    file: Path | None = None

    def section(self, keys: Keys) -> str:
        """`[server.priority_lanes] of domain.toml`; at the top level the file alone."""
        path = masked(".".join((*self.prefix, *keys)))  # people paste addresses anywhere
        return f"[{path}] of {self.name}" if path else self.name


def read(schema: type[M], table: Table, *, place: Place, env: str | None, environ: Mapping[str, str]) -> M:
    """The configuration that a table describes, with the overlay called `env` over it.

    Top-level tables that are no section of the schema are overlays. Those not in force are checked too, their
    missing variables aside: a mistake in `[production…]` is found before production starts. Raises
    ConfigurationError listing every problem.
    """
    reader = _Reader(schema, table, place, environ)
    overlay = env if env in reader.overlays else None
    _warn_of_names(env, reader.overlays, place)
    config = reader.check(overlay, in_force=True)
    for other in {None, *reader.overlays} - {overlay}:
        reader.check(other, in_force=False)
    if config is not None and not reader.problems:
        return config
    problems = sorted(reader.problems)
    if len(problems) == 1:
        raise ConfigurationError(problems[0])
    listed = "\n".join(f"- {problem}" for problem in problems)
    raise ConfigurationError(f"{place.name} has {len(problems)} problems:\n{listed}")


def _warn_of_names(env: str | None, overlays: Table, place: Place) -> None:
    """Warn of an overlay that is asked for and not there, and of one that nobody will ever ask for.

    No error: where only production differs, every other environment rightly has no overlay.
    """
    if env and overlays and env not in overlays:
        suggestion = did_you_mean(env, overlays) or f", only for {', '.join(overlays)}"
        logger.warning(
            "PROTEAN_ENV is `%s`, for which %s has no overlay%s", printable(env), place.name, printable(suggestion)
        )
    for name in overlays:
        if name not in (env, PRODUCTION) and (suggestion := did_you_mean(name, [PRODUCTION])):
            section = printable(place.section((name,)))
            logger.warning("%s is in force where PROTEAN_ENV is `%s`%s", section, printable(name), suggestion)


def merged(base: Table, over: Table) -> dict[str, Any]:
    """`over` on top of `base`: tables are merged, anything else replaces what was there."""
    result = dict(base)
    for key, above in over.items():
        value, below = above, result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = merged(below, value)
        result[key] = value
    return result


class _Reader(Generic[M]):
    def __init__(self, schema: type[M], table: Table, place: Place, environ: Mapping[str, str]) -> None:
        self.schema = schema
        self.place = place
        self.environ = environ
        self.problems: set[str] = set()
        self.base: dict[str, Any] = {}
        self.overlays: dict[str, Table] = {}
        for key, value in table.items():
            if key in schema.model_fields:
                self.base[key] = value
            elif self._is_overlay(key, value):
                self.overlays[key] = value

    def check(self, overlay: str | None, *, in_force: bool) -> M | None:
        """The configuration under an overlay, or None and more problems.

        What is not in force answers for each of its keys, but not for being complete: the variables it needs
        may be missing here, and what it lacks may come from the overlay that is in force.
        """
        over = self.overlays.get(overlay or "", {})
        table = self._filled(merged(self.base, over), (), over, overlay, in_force)
        try:
            return self.schema.model_validate(table)
        except pydantic.ValidationError as error:
            for detail in error.errors(include_url=False):
                if detail["type"] == "default_factory_not_called":
                    continue  # follows from another problem
                if in_force or not _is_contradiction(detail):
                    keys = tuple(str(key) for key in detail["loc"] if key != "[key]")
                    self.problems.add(self._problem(detail, self._origin(keys, over, overlay)))
            return None

    def _is_overlay(self, key: str, value: object) -> bool:
        suggestion = did_you_mean(key, self.schema.model_fields)
        if not isinstance(value, Mapping):
            self.problems.add(f"unknown key `{masked(key)}` in {self.place.section(())}{suggestion}")
            return False
        if suggestion and not set(value) <= set(self.schema.model_fields):
            self.problems.add(f"unknown section {self.place.section((key,))}{suggestion}")
            return False
        return True

    def _filled(self, value: Any, keys: Keys, over: Table, overlay: str | None, in_force: bool) -> Any:
        """The value with its variables filled in; entries whose variable is missing are left out."""
        if isinstance(value, str):
            return interpolated(value, self.environ)
        if isinstance(value, list):
            return [self._filled(item, keys, over, overlay, in_force) for item in value]
        if not isinstance(value, Mapping):
            return value
        table = {}
        for key, item in value.items():
            try:
                table[key] = self._filled(item, (*keys, str(key)), over, overlay, in_force)
            except MissingVariableError as missing:
                if in_force:
                    *section, name = self._origin((*keys, str(key)), over, overlay)
                    self.problems.add(
                        f"`{masked(name)}` in {self.place.section(tuple(section))} needs the environment variable "
                        f"{missing.name}, which is not set; set it, or give a default: "
                        f"${{{missing.name}|…}}"
                    )
        return table

    def _origin(self, keys: Keys, over: Table, overlay: str | None) -> Keys:
        """The keys as the file has them: an overlay's own begin with its name."""
        return (overlay, *keys) if overlay is not None and _within(over, keys) else keys

    def _problem(self, detail: ErrorDetails, keys: Keys) -> str:
        *section, key = keys or ("",)
        place = self.place.section(tuple(section))
        if detail["type"] == "extra_forbidden":
            known = _model_at(self.schema, [name for name in section if name not in self.overlays])
            return f"unknown key `{masked(key)}` in {place}{did_you_mean(key, known)}"
        said = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else detail["msg"]
        said = said.replace("Input should", "must").replace("String should match pattern", "must match")
        if detail["type"] in ("model_type", "dict_type"):
            said = "must be a table"
        elif _is_contradiction(detail):
            return f"{self.place.section(keys)}: {said}"
        return f"`{masked(key)}` in {place} is {_shown(detail['input'])}: {said}"


def _is_contradiction(detail: ErrorDetails) -> bool:
    """Whether the problem lies between the options of a section, each of them right by itself."""
    return detail["type"] == "value_error" and isinstance(detail["input"], Mapping | pydantic.BaseModel)


def _within(table: Table, keys: Keys) -> bool:
    """Whether a table says anything under these keys."""
    for key in keys:
        if key not in table:
            return False
        below = table[key]
        table = below if isinstance(below, Mapping) else {}
    return bool(keys)


def _model_at(schema: type[pydantic.BaseModel], keys: list[str]) -> list[str]:
    """The option names that may stand in the section with these keys."""
    model: Any = schema
    for key in keys:
        if isinstance(model, type) and issubclass(model, pydantic.BaseModel):
            found = model.model_fields.get(key)
            model = None if found is None else found.annotation
        elif get_origin(model) is dict:
            model = get_args(model)[1]  # the keys of `[databases.<name>]` are names
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, pydantic.BaseModel) else []


def _shown(value: object) -> str:
    """The value as the file has it: a variable by its name, an address without its password."""
    if isinstance(value, Interpolated):
        return f"{value.template!r:.80}"
    try:
        return f"{masked(repr(value)):.80}"
    except ValueError:
        return "a number too long to be shown"
