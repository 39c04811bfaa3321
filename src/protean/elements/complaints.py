"""pydantic's errors in our words: by field, saying what is wrong with which value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import pydantic
from pydantic_core import ErrorDetails

from protean.suggestion import did_you_mean

_Context = dict[str, Any]

#: Where pydantic speaks of "input", or of the trick that found the error, this says what the user did.
_TEXTS: Final[dict[str, Callable[[_Context], str]]] = {
    "missing": lambda _: "is required",
    "string_too_short": lambda c: f"must have at least {c['min_length']} characters",
    "string_too_long": lambda c: f"must have at most {c['max_length']} characters",
    "string_pattern_mismatch": lambda _: "contains a NUL character",
    "string_unicode": lambda _: "contains characters that are not Unicode (lone surrogates)",
    "too_short": lambda c: f"must have at least {c['min_length']} items, not {c['actual_length']}",
    "too_long": lambda c: f"must have at most {c['max_length']} items, not {c['actual_length']}",
    "greater_than_equal": lambda c: f"must be at least {c['ge']}",
    "less_than_equal": lambda c: f"must be at most {c['le']}",
    "int_parsing_size": lambda _: "must fit into 64 bits",
    "finite_number": lambda _: "must be a finite number, not infinite and not NaN",
    "value_error": lambda c: str(c["error"]),
    "assertion_error": lambda c: str(c["error"]) or "is not acceptable",
    "frozen_field": lambda _: "is the identity and never changes",
}
_64_BITS: Final = frozenset({2**63 - 1, -(2**63)})


def complaints(
    error: pydantic.ValidationError, owner: str, fields: Iterable[str], within: str | None = None
) -> dict[str, list[str]]:
    """The errors by field; those about the object as a whole under `_entity`.

    `within` is the field whose value alone was validated.
    """
    messages: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False):
        field, *path = (within, *detail["loc"]) if within else (detail["loc"] or ("_entity",))
        if detail["type"] in ("extra_forbidden", "no_such_attribute"):
            text = not_a_field(str(field), owner, fields)
        else:
            text = _text(detail)
        if path:
            text = f"item {'.'.join(str(step) for step in path if step != '[key]')}: {text}"
        messages.setdefault(str(field), []).append(text)
    return messages


def not_a_field(name: str, owner: str, fields: Iterable[str]) -> str:
    suggestion = did_you_mean(name, fields)
    return f"is not a field of {owner}{suggestion.replace(',', ';', 1)}"


def _text(detail: ErrorDetails) -> str:
    value, context = detail["input"], detail.get("ctx", {})
    kind = detail["type"]
    if kind == "string_too_short" and value == "":
        return "is required"
    if value is None and kind not in ("value_error", "assertion_error"):
        return "is required"
    if context.get("ge", context.get("le")) in _64_BITS:
        return "must fit into 64 bits"
    if kind in _TEXTS:
        return _TEXTS[kind](context)
    return f"{detail['msg'].replace('Input should be', 'must be')}, not {_shown(value)}"


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:
        return "that"  # an integer of so many digits that Python declines to write it out
    return text if len(text) <= 50 else f"{text[:47]}..."
