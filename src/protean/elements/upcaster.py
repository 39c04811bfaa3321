"""Upcasters: what an older version of an event said, in the words of the next."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from protean.exceptions import ConfigurationError


class Upcaster(Protocol):
    """What a class decorated with `@domain.upcaster` looks like; naming it as a base is for type checkers only."""

    def upcast(self, data: dict[str, Any], /) -> dict[str, Any]:
        """The payload of the next version. `data` is a copy, JSON-shaped, and may be changed and returned."""
        ...


class Step(NamedTuple):
    """One upcaster in the history of an event: from which version to which it leads."""

    upcaster: type[Upcaster]
    from_version: int
    to_version: int

    def __str__(self) -> str:
        return f"{self.upcaster.__name__} ({self.from_version} to {self.to_version})"


#: The upcasters of one event, each under the version it starts from.
Chain = Mapping[int, Step]


def checked_upcaster(cls: type, options: Mapping[str, Any]) -> Step:
    """The step that a class takes. Raises ConfigurationError when it cannot be one."""
    for option in ("event_type", "from_version", "to_version"):
        if option not in options:
            raise ConfigurationError(f"@domain.upcaster on {cls.__name__} does not say `{option}`")
    for option in ("from_version", "to_version"):
        version = options[option]
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise ConfigurationError(f"{option} of {cls.__name__} is {version!r:.50}; use 1, 2, 3 …")
    step = Step(cls, options["from_version"], options["to_version"])
    if step.from_version >= step.to_version:
        raise ConfigurationError(
            f"{cls.__name__} leads from version {step.from_version} to version {step.to_version}; "
            "an upcaster leads to a later one"
        )
    _check_method(cls)
    return step


def is_plain_code(function: object) -> bool:
    """Whether calling it runs it: it is no generator, and nothing to be awaited."""
    return not any(
        asks(function)
        for asks in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    )


def _check_method(cls: type) -> None:
    method = getattr(cls, "upcast", None)
    if not callable(method):
        raise ConfigurationError(f"{cls.__name__} has no method `upcast(self, data)`, which returns the newer data")
    if not is_plain_code(method):
        raise ConfigurationError(f"{cls.__name__}.upcast must be plain code: it runs wherever a message is read")
