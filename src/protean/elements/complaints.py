"""pydantic's errors in our words: by field, saying what is wrong with which value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import pydantic
from pydantic_core import ErrorDetails

from protean.fields.spec import FieldSpec
from protean.suggestion import did_you_mean

_Context = dict[str, Any]

#: Under which name complaints about an object as a whole are.
WHOLE: Final = "_entity"
#: The type of the error by which an object under construction tells pydantic that its invariants do not hold. Its
#: context has the `messages`, by field.
BROKEN: Final = "invariant"

#: Where pydantic speaks of "input", or of the trick that found the error, this says what the user did.
_TEXTS: Final[dict[str, Callable[[_Context], str]]] = {
    "missing": lambda _: "is required",
    "string_too_short": lambda c: f"must have at least {c['min_length']} characters, not {len(c['input'])}",
    "string_too_long": lambda c: f"must have at most {c['max_length']} characters, not {len(c['input'])}",
    "string_pattern_mismatch": lambda _: "contains a NUL character",
    "string_unicode": lambda _: "contains characters that are not Unicode (lone surrogates)",
    "too_short": lambda c: f"must have at least {c['min_length']} items, not {c['actual_length']}",
    "too_long": lambda c: f"must have at most {c['max_length']} items, not {c['actual_length']}",
    "greater_than_equal": lambda c: f"must be at least {c['ge']}, not {_shown(c['input'], str)}",
    "less_than_equal": lambda c: f"must be at most {c['le']}, not {_shown(c['input'], str)}",
    "int_parsing_size": lambda _: "must fit into 64 bits",
    "finite_number": lambda _: "must be a finite number, not infinite and not NaN",
    "value_error": lambda c: str(c["error"]),
    "assertion_error": lambda c: str(c["error"]) or "is not acceptable",
    "frozen_field": lambda _: "is the identity and never changes",
}
_64_BITS: Final = frozenset({2**63 - 1, -(2**63)})


def complaints(
    error: pydantic.ValidationError, owner: str, fields: Mapping[str, FieldSpec], within: str | None = None
) -> dict[str, list[str]]:
    """The errors by field; those about the object as a whole under `_entity`.

    `within` is the field whose value alone was validated.
    """
    messages: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False):
        path = [step for step in ((within, *detail["loc"]) if within else detail["loc"]) if step != "[key]"]
        if detail["type"] == BROKEN:
            for inner, texts in detail["ctx"]["messages"].items():
                field, *below = [*path, inner] if inner != WHOLE else path or [WHOLE]
                where = _where(fields, str(field), below)
                messages.setdefault(str(field), []).extend(f"{where}{text}" for text in texts)
            continue
        field, *below = path or [WHOLE]
        if detail["type"] in ("extra_forbidden", "no_such_attribute"):
            text = not_a_field(str(path[-1]), *_holder(owner, fields, path[:-1]))
        else:
            text = _text(detail)
        messages.setdefault(str(field), []).append(f"{_where(fields, str(field), below)}{text}")
    return messages


def _where(fields: Mapping[str, FieldSpec], field: str, below: list[int | str]) -> str:
    """`item 2: amount: `, for what is inside of a field."""
    spec, steps = fields.get(field), list[tuple[str, str]]()
    for step in below:
        steps.append(("" if spec is not None and spec.value is not None else "item ", str(step)))
        spec = _inside(spec, step)
    groups = groupby(steps, key=itemgetter(0))
    return "".join(f"{kind}{'.'.join(step for _, step in group)}: " for kind, group in groups)


def _holder(owner: str, fields: Mapping[str, FieldSpec], path: list[int | str]) -> tuple[str, Mapping[str, FieldSpec]]:
    """The class whose field was not found at the end of the path, and its fields."""
    if not path:
        return owner, fields
    spec = fields.get(str(path[0]))
    for step in path[1:]:
        spec = _inside(spec, step)
    if spec is None or spec.value is None:
        return owner, fields
    return spec.value.__name__, spec.value.__embedded__


def _inside(spec: FieldSpec | None, step: int | str) -> FieldSpec | None:
    if spec is None:
        return None
    return spec.content if spec.value is None else spec.value.__embedded__.get(str(step))


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
        return _TEXTS[kind]({**context, "input": value})
    return f"{detail['msg'].replace('Input should be', 'must be')}, not {_shown(value)}"


def _shown(value: object, write: Callable[[object], str] = repr) -> str:
    try:
        text = write(value)
    except ValueError:
        return "that"  # an integer of so many digits that Python declines to write it out
    return text if len(text) <= 50 else f"{text[:47]}..."
