"""Every error protean raises on purpose, in one tree.

A message says what was wrong, with which value, and what to do next. Data that a program may want
is an attribute, not something to parse out of the text. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime


class ProteanError(Exception):
    """The root: catch this to catch everything protean raises on purpose."""


class ConfigurationError(ProteanError):
    """Raised at start: a setting, a declaration or an installation that cannot work."""


class ValidationError(ProteanError):
    """Raised when values do not fit a declaration.

    `messages` maps a field's name (`_entity` for the whole object) to its complaints.
    """

    def __init__(self, messages: Mapping[str, Sequence[str]]) -> None:
        self.messages: dict[str, list[str]] = {field: list(texts) for field, texts in messages.items()}
        super().__init__("; ".join(f"{field}: {', '.join(texts)}" for field, texts in self.messages.items()))

    def __reduce__(self) -> tuple[type[ValidationError], tuple[dict[str, list[str]]]]:
        return type(self), (self.messages,)


class TakenError(ValidationError):
    """Raised at commit when something that exists once is there already: an identity, a unique field, several together.

    `table` says where, `columns` which columns have those values. `messages` name the columns' fields.
    """

    def __init__(self, table: str, columns: Sequence[str], messages: Mapping[str, Sequence[str]] | None = None) -> None:
        self.table = table
        self.columns = tuple(columns)
        super().__init__(taken(columns) if messages is None else messages)

    def __reduce__(self) -> tuple[type[TakenError], tuple[str, tuple[str, ...], dict[str, list[str]]]]:  # type: ignore[override]  # made of more than its base
        return type(self), (self.table, self.columns, self.messages)


def taken(names: Sequence[str]) -> dict[str, list[str]]:
    """What to say of names whose values, together, are taken."""
    return {
        name: [f"is already taken together with {' and '.join(others)}" if others else "is already taken"]
        for name in names
        for others in [[other for other in names if other != name]]
    }


class ObjectNotFoundError(ProteanError):
    """Raised by `Repository.get` and friends when nothing has that identity."""


class ExpectedVersionError(ProteanError):
    """Raised at commit when another transaction changed the aggregate since it was loaded.

    `stream_name` is the stream that it continued, of an event-sourced aggregate.
    """

    def __init__(self, text: str, stream_name: str | None = None) -> None:
        self.stream_name = stream_name
        super().__init__(text)


class InvalidOperationError(ProteanError):
    """Raised when a call makes no sense in the state things are in."""


class DuplicateCommandError(ProteanError):
    """Raised when an idempotency key is used once more, for another command or with other data.

    `key` is that key, `type` the command it belongs to, `first_at` when that was first processed.
    """

    def __init__(self, text: str, key: str, type_: str, first_at: datetime) -> None:
        self.key = key
        self.type = type_
        self.first_at = first_at
        super().__init__(text)

    def __reduce__(self) -> tuple[type[DuplicateCommandError], tuple[str, str, str, datetime]]:
        return type(self), (str(self), self.key, self.type, self.first_at)


class NotSupportedError(ProteanError):
    """Raised when a chosen adapter cannot do what was asked of it."""


class OverloadedError(ProteanError):
    """Raised when so much waits to be begun already that one more is refused. Nothing of it has been done."""


class UnknownTypeError(ProteanError):
    """Raised when a message names a type or a version that this domain does not know (yet)."""


class DeserializationError(ProteanError):
    """Raised when the bytes of a message cannot be read as the type they name."""


class UpcastError(ProteanError):
    """Raised when an upcaster fails at a message: it raised, or returned something else than a dict."""


class HistoryRemovedError(ProteanError):
    """Raised when a handler needs messages that retention has removed from the log."""


class RebuildError(ProteanError):
    """Raised when a projection cannot be rebuilt. The rows in use are as they were."""


class HandlerDiedError(ProteanError):
    """Recorded for a message whose handling ended the process, several times."""


class DatabaseError(ProteanError):
    """Raised by database adapters in place of their driver's errors."""


class TransientDatabaseError(DatabaseError):
    """Raised when the same transaction may well succeed if repeated: deadlock, serialization failure."""


class TableMissingError(DatabaseError):
    """Raised when a table is not there: nobody has set the database up yet."""


class DatabaseUnavailableError(DatabaseError):
    """Raised when the database cannot be reached, or a connection broke under a transaction."""


class SessionLostError(DatabaseUnavailableError):
    """Raised when a session ended, or its connection broke, under a transaction; others may be served all the same."""


class ResourceLimitError(DatabaseUnavailableError):
    """Raised when a statement took more memory or space than the database has or allows; others may do with less."""


class BrokerError(ProteanError):
    """Raised by broker adapters in place of their driver's errors."""


class BrokerUnavailableError(BrokerError):
    """Raised when the broker cannot be reached, is loading, read-only or out of memory."""


class GroupMissingError(BrokerError):
    """Raised when a stream or its consumer group is not there: created late, or the broker lost it."""
