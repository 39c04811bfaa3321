"""Fields that a method computes: read like others, and stored nowhere."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from protean.exceptions import ConfigurationError, InvalidOperationError
from protean.fields.spec import FieldKind, FieldSpec
from protean.suggestion import did_you_mean


def computed_fields(cls: type, fields: Mapping[str, FieldSpec]) -> dict[str, str]:
    """The method behind each computed field. Raises ConfigurationError when the class has none of that name."""
    found = {name: spec.method for name, spec in fields.items() if spec.kind is FieldKind.METHOD}
    for name, method in found.items():
        function = getattr(cls, method, None)
        if not callable(function):
            methods = [known for known, value in inspect.getmembers(cls, callable) if not known.startswith("_")]
            raise ConfigurationError(
                f"`{name}` of {cls.__name__}: there is no method `{method}`{did_you_mean(method, methods)}"
            )
        if inspect.iscoroutinefunction(function):
            raise ConfigurationError(f"`{name}` of {cls.__name__}: `{method}` must be plain code, not async")
    return found


def reading(name: str, method: str) -> property:
    """The property that stands for the field."""

    def get(self: Any) -> Any:
        return getattr(self, method)()

    def refuse(self: Any, value: object) -> None:
        raise InvalidOperationError(
            f"{type(self).__name__}.{name} cannot be set to {value!r:.50}: it is what `{method}` returns"
        )

    return property(get, refuse)
