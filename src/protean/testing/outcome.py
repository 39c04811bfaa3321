"""What came of a step, and the ways in which a test can say what it expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from protean.elements.payload import PayloadElement
from protean.exceptions import ValidationError
from protean.testing.differences import check_fields, difference, listed, unequal

#: What `then_rejected` takes: a class of errors, or several.
Errors = type[BaseException] | tuple[type[BaseException], ...]


def attempted(act: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What it returned, and what it raised instead."""
    try:
        return act(), None
    except Exception as error:  # noqa: BLE001 - it is what a test may expect, and raised by whoever expects another thing
        return None, error


def refuse_error(what: str, error: Exception | None, expected: str) -> None:
    """Raise AssertionError, with its cause, if there is one where something else was expected."""
    if error is not None:
        raise AssertionError(
            f"{what} was rejected, {type(error).__name__}: {error}\nexpected was {expected}; where the rejection is "
            "what is expected, then_rejected(…) says so"
        ) from error


def check_messages(
    what: str, kind: str, expected: Sequence[object], actual: Sequence[PayloadElement], past: str
) -> None:
    """Raise AssertionError showing what differs, field by field."""
    if lines := difference(expected, actual):
        raise AssertionError(
            f"{what} has other {kind} than expected:\n{lines}\n"
            f"expected:\n{listed(expected)}\nactual:\n{listed(actual)}\n{past}"
        )


def check_rejection(
    what: str,
    error: Exception | None,
    expected: Errors,
    *,
    match: str | None,
    messages: dict[str, str],
    instead: Sequence[object],
) -> None:
    """Raise AssertionError unless it was rejected like that."""
    names = " or ".join(each.__name__ for each in (expected if isinstance(expected, tuple) else (expected,)))
    if error is None:
        raise AssertionError(f"{what} was not rejected, expected was {names}; what it led to:\n{listed(instead)}")
    if not isinstance(error, expected):
        raise AssertionError(  # noqa: TRY004 - it is the assertion that has failed
            f"{what} was rejected with another error:\n  expected {names}\n  but is   {type(error).__name__}: {error}"
        ) from error
    if match is not None and not re.search(match, str(error)):
        raise AssertionError(
            f"{what} was rejected with another text:\n  expected /{match}/\n  but is   {error}"
        ) from error
    if not messages:
        return
    said = error.messages if isinstance(error, ValidationError) else {}
    wrong = [
        f"  {name}  expected /{pattern}/\n  {'':{len(name)}}  but is   {' | '.join(said.get(name, [])) or 'nothing'}"
        for name, pattern in messages.items()
        if not any(re.search(pattern, text) for text in said.get(name, []))
    ]
    if wrong:
        raise AssertionError(f"{what} was rejected for other reasons:\n" + "\n".join(wrong)) from error


def check_state(what: str, of: Any, fields: dict[str, Any]) -> None:
    """Raise AssertionError showing the fields that are not as expected."""
    check_fields(type(of), fields)
    if wrong := unequal(fields, of):
        raise AssertionError(f"{what} is in another state than expected:\n" + "\n".join(wrong))
