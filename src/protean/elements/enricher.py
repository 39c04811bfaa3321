"""Enrichers: functions that add headers to every message, such as who is behind it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from protean.elements.upcaster import is_plain_code
from protean.exceptions import ConfigurationError
from protean.message import MessageKind

#: Takes the event or command, an event's also with the aggregate that raised it; returns headers, of JSON shape.
EnricherFunction = Callable[..., Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Enricher:
    """`takes` is the number of its arguments: 1, or 2 with the aggregate."""

    kind: MessageKind
    function: EnricherFunction
    takes: int

    @property
    def name(self) -> str:
        return f"the {self.kind} enricher {_name(self.function)}"

    def headers(self, payload: object, aggregate: object) -> Mapping[str, Any]:
        """What it says of this message, unchecked."""
        return self.function(payload, aggregate) if self.takes == 2 else self.function(payload)


def checked_enricher(kind: MessageKind, function: object) -> Enricher:
    """The function as an enricher. Raises ConfigurationError when it cannot be called as one."""
    decorator = f"@domain.{kind}_enricher"
    if isinstance(function, type) or not callable(function):
        raise ConfigurationError(f"{decorator} decorates a function, not {function!r:.80}; write it without brackets")
    if not is_plain_code(function):
        raise ConfigurationError(f"{decorator}: {_name(function)} must be plain code that returns a dict")
    most = 2 if kind is MessageKind.EVENT else 1
    for takes in range(most, 0, -1):
        if _takes(function, takes):
            return Enricher(kind, function, takes)
    wanted = "an event, or an event and its aggregate" if most == 2 else "a command"
    raise ConfigurationError(f"{decorator}: {_name(function)} must take {wanted}")


def _name(function: Callable[..., object]) -> str:
    return f"{getattr(function, '__name__', function)!s:.80}"


def _takes(function: Callable[..., object], count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True
