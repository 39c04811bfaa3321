"""`${VAR}` and `${VAR|default}` in the texts of a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

#: `$${` is a literal `${`. A default ends at the first `}`.
_VARIABLE: Final = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:\|(?P<default>[^}]*))?\}")


class MissingVariableError(Exception):
    """Raised when a variable without a default is not set. `name` is the variable."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


class Interpolated(str):
    """A text that variables were put into. `template` is what the file says, and what errors may show."""

    __slots__ = ("template",)
    template: str

    def as_type(self, annotation: Any) -> Any:
        """The text as a number or truth value where one is wanted and it is one; else itself."""
        try:
            return TypeAdapter(annotation).validate_python(str(self))
        except ValidationError:
            return self


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """The text with its variables filled in. Raises MissingVariableError.

    A default stands in for a variable that is empty too, as the shell's `${NAME:-default}` does: `NAME=` in an
    environment file is how people unset one.
    """

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "${"
        found, default = environ.get(match["name"]), match["default"]
        if not found and default is not None:
            return default
        if found is None:
            raise MissingVariableError(match["name"])
        return found

    filled = _VARIABLE.sub(value, text)
    if filled == text:
        return text
    result = Interpolated(filled)
    result.template = text
    return result
