"""Commands that may be sent several times and are carried out once: under a key, with the first result for everyone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from protean.elements.handlers import CommandRoute
from protean.elements.payload import PayloadElement, encode
from protean.exceptions import DuplicateCommandError, InvalidOperationError, ValidationError
from protean.ports.idempotency import Keyed
from protean.write.context import ActiveDomain
from protean.write.results import result_as_json
from protean.write.unit_of_work import UnitOfWork

#: Longest key, and correlation id, in characters.
MAX_LENGTH = 255


class IdempotentCommand:
    """A command with its key. The key is taken in the transaction of the command's effects, before they begin.

    An `asynchronous` one's effect is that it is written down, and its result the id of its message. To have it carried
    out at once is something else, for which the same key is refused: who does that is owed another answer.
    """

    def __init__(
        self,
        domain: ActiveDomain,
        route: CommandRoute,
        command: PayloadElement,
        key: str,
        *,
        asynchronous: bool = False,
    ) -> None:
        self._domain = domain.name
        self._provider = route.aggregate.__protean__.provider
        self._name = f"{command.__protean__.name} (asynchronous)" if asynchronous else command.__protean__.name
        self._key = checked_text("idempotency_key", key)
        self._digest = digest_of(command)

    def carry_out(self, unit: UnitOfWork, work: Callable[[], Any]) -> Any:
        """What `work` returns; or, without calling it, what it returned when the key was first used.

        Raises DuplicateCommandError when that was for something else.
        """
        keys = unit.transaction(self._provider).idempotency_keys
        first = keys.take(self._domain, self._key, self._name, self._digest)
        if first is not None:
            return self._first_result(first)
        result = work()
        what = f"with an idempotency key the result of {self._name}"
        keys.keep(self._domain, self._key, result_as_json(result, what))
        return result

    def _first_result(self, first: Keyed) -> Any:
        name = self._name
        if (first.type, first.digest) != (name, self._digest):
            other = f"{name} with other data" if first.type == name else name
            raise DuplicateCommandError(
                f"the idempotency key {self._key!r} belongs to a {first.type} first processed at "
                f"{first.first_at:%Y-%m-%d %H:%M:%S} UTC and cannot be used for a {other}; a new command needs a "
                "new key",
                self._key,
                first.type,
                first.first_at,
            )
        if first.result is None:
            raise InvalidOperationError(
                f"{name} is being handled under the idempotency key {self._key!r}, and its own handler sends it again"
            )
        return json.loads(first.result)


def digest_of(command: PayloadElement) -> str:
    """What two commands with the same data share, in hexadecimal.

    A value that a default function made up (an identity, the present moment) is nobody's data and left out; so is
    None, so that a class may gain an optional field between two calls.
    """
    fields = command.__protean__.fields
    made_up = {name for name, field in fields.items() if callable(field.default)} - command.model_fields_set
    data = json.loads(encode(command))
    given = {name: value for name, value in data.items() if value is not None and name not in made_up}
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def checked_text(name: str, text: object) -> str:
    """`text` itself, 1 to 255 characters that every database keeps. Raises ValidationError, under `name`."""
    if not isinstance(text, str):
        complaint = f"must be a text, not {type(text).__name__}"
    elif not 1 <= len(text) <= MAX_LENGTH:
        complaint = f"must have 1 to {MAX_LENGTH} characters, not {len(text)}"
    elif "\0" in text:
        complaint = "contains a NUL character"
    elif any("\ud800" <= character <= "\udfff" for character in text):
        complaint = "contains characters that are not Unicode (lone surrogates)"
    else:
        return text
    raise ValidationError({name: [complaint]})
