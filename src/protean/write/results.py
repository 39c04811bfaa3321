"""Results of commands that are kept: as JSON, and refused when JSON cannot hold them."""

from __future__ import annotations

import json
from typing import Any

from protean.exceptions import InvalidOperationError

#: Longest result that is kept, in characters of JSON. A result is an answer, an identity say, not a document.
MAX_RESULT = 1_000_000


def result_as_json(result: Any, what: str) -> str:
    """The JSON text of a result, called `what` in errors. Raises InvalidOperationError when it would not come back."""
    try:
        text = json.dumps(result, allow_nan=False)
        why = "it comes back as something else" if json.loads(text) != result else ""
    except (TypeError, ValueError, RecursionError) as error:
        text, why = "", str(error)
    if not why and len(text) > MAX_RESULT:
        why = f"it has {len(text)} characters, more than {MAX_RESULT}"
    if why:
        raise InvalidOperationError(
            f"{what} is kept as JSON, which cannot hold this {type(result).__name__}: {why}; return texts, numbers, "
            "lists, dicts with texts for keys, or None. Nothing was saved"
        )
    return text
