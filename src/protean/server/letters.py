"""What a dead letter is to those who look at it: with its database, in pages, in groups of one cause, inspected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha1
from typing import Any

from protean.exceptions import InvalidOperationError
from protean.message import Message
from protean.ports.progress import Failure, FailureFilter, FailureKey, FailureTally

#: Longest shape of an error, in characters.
SHAPE_LENGTH = 160
#: What tells one occurrence of an error from the next, and what stands in its place.
_PARTICULARS = (
    (re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"), "<id>"),
    (re.compile(r"'[^']*'|\"[^\"]*\""), "<text>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b"), "<id>"),
    (re.compile(r"\d+(?:\.\d+)?"), "<n>"),
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A failure and the database it was found in."""

    provider: str
    failure: Failure

    @property
    def itself(self) -> FailureFilter:
        """The filter that finds this failure alone."""
        return FailureFilter(handlers=(self.failure.handler,), message_id=self.failure.message_id)


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what was asked for, newest failure first. `next` asks for what follows; None: that was all."""

    letters: tuple[DeadLetter, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Failures that most likely have one cause.

    They share handler, stream, type of error and `shape`, the first line of the error without its particulars:
    ids, numbers, quoted texts. `id` is short and the same every time.
    """

    id: str
    handler: str
    stream: str
    error_type: str
    shape: str
    count: int
    first_failed_at: datetime
    last_failed_at: datetime

    def holds(self, failure: Failure) -> bool:
        return (failure.handler, failure.stream, failure.error_type, shape_of(failure.error)) == (
            self.handler,
            self.stream,
            self.error_type,
            self.shape,
        )


@dataclass(frozen=True, slots=True)
class Inspected:
    """Everything about a failure. `blocked`: later messages of its stream that wait behind it.

    `envelope` is the message as it travels, None if it is not in the log; without `payload` asked for its data is
    left out. `raw` are the bytes that nobody could read, `raw_size` their number. `history`: the messages before
    it, itself, and those behind it, of its stream, in order.
    """

    letter: DeadLetter
    blocked: int
    envelope: Mapping[str, Any] | None
    raw: bytes | None
    raw_size: int | None
    history: tuple[Message, ...]


@dataclass(slots=True)
class Settled:
    """What became of failures that were replayed or discarded.

    `unsettled` ones are due, and nobody has got to them yet: without an engine until one starts, or while the
    handler's breaker is open.
    """

    succeeded: list[DeadLetter] = field(default_factory=list)
    failed_again: list[Failure] = field(default_factory=list)
    unsettled: list[DeadLetter] = field(default_factory=list)
    engine_running: bool = True

    @property
    def total(self) -> int:
        return len(self.succeeded) + len(self.failed_again) + len(self.unsettled)


@dataclass(frozen=True, slots=True)
class Purged:
    """`removed` are gone. `kept` are old enough and hold up later messages: replay them, or discard them first."""

    removed: int
    kept: int


def shape_of(error: str) -> str:
    """The first line of an error's text without what differs from one occurrence to the next."""
    shape = error.strip().partition("\n")[0]
    for particular, placeholder in _PARTICULARS:
        shape = particular.sub(placeholder, shape)
    return " ".join(shape.split())[:SHAPE_LENGTH]


def grouped(tallies: Iterable[FailureTally]) -> list[Group]:
    """Tallies put together by shape, the largest group first."""
    groups: dict[tuple[str, str, str, str], list[FailureTally]] = {}
    for tally in tallies:
        groups.setdefault((tally.handler, tally.stream, tally.error_type, shape_of(tally.error)), []).append(tally)
    made = [
        Group(
            sha1("\0".join(shared).encode(errors="replace"), usedforsecurity=False).hexdigest()[:8],
            *shared,
            count=sum(each.count for each in members),
            first_failed_at=min(each.first_failed_at for each in members),
            last_failed_at=max(each.last_failed_at for each in members),
        )
        for shared, members in groups.items()
    ]
    return sorted(made, key=lambda group: (-group.count, group.handler, group.stream, group.id))


def place_of(key: FailureKey) -> str:
    """A key as text, for whoever asks for the next page: a URL, a command line."""
    return f"{key.last_failed_at.isoformat()},{key.handler},{key.message_id}"


def key_of(place: str) -> FailureKey:
    """Back again. Raises InvalidOperationError."""
    try:
        moment, handler, message_id = place.split(",", 2)
        return FailureKey(datetime.fromisoformat(moment).astimezone(UTC), handler, message_id)
    except (ValueError, OverflowError) as error:  # the first and the last day have no time in some zones
        raise InvalidOperationError(
            f"{place!r:.100} is not the `next` of a page of dead letters ({error}); begin again without it"
        ) from None
