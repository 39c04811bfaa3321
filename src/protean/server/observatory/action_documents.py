"""The JSON of dead letters, actions and operations. Nothing of a payload; moments in UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protean.codec import KNOWN
from protean.ports.control import Operation
from protean.ports.progress import FailureState
from protean.server.control import REASON_LENGTH
from protean.server.letters import DeadLetter, Group, Inspected
from protean.server.observatory.deciding import Scope, place
from protean.server.observatory.documents import Document

#: What may stand in an address or a body: no control characters, which no name of ours has.
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, Field(min_length=1, max_length=300, pattern=PRINTABLE)]
#: A place names a message, whose id may be of any shape if nobody could read it.
PlaceName = Annotated[str, Field(min_length=1, max_length=1_000, pattern=PRINTABLE)]
Reason = Annotated[str, Field(min_length=1, max_length=REASON_LENGTH, pattern=PRINTABLE)]


class GroupDocument(Document):
    """Dead letters that most likely have one cause. `error` is what their errors share."""

    id: str
    handler: str
    stream: str
    error_type: str
    error: str
    count: int
    first_failed_at: datetime
    last_failed_at: datetime

    @classmethod
    def of(cls, group: Group) -> GroupDocument:
        return cls(
            id=group.id,
            handler=group.handler,
            stream=group.stream,
            error_type=group.error_type,
            error=group.shape,
            count=group.count,
            first_failed_at=group.first_failed_at,
            last_failed_at=group.last_failed_at,
        )


class GroupsDocument(Document):
    """The largest group first; `total` counts the letters of all groups, also of those beyond the list's end."""

    total: int
    groups: list[GroupDocument]


class EntryDocument(Document):
    """A failure. `place` names it in addresses and actions, until it fails again. `error`: its first line."""

    place: str
    handler: str
    message_id: str
    message_type: str
    stream: str
    lane: str
    stream_name: str
    state: FailureState
    attempts: int
    error_type: str
    error: str
    first_failed_at: datetime
    last_failed_at: datetime
    due_at: datetime
    discarded_by: str | None
    discard_reason: str | None

    @classmethod
    def of(cls, letter: DeadLetter) -> EntryDocument:
        return cls(**_entry(letter))


class EntriesDocument(Document):
    """Newest first. `next` is the `after` of the page that follows; null: that was all."""

    entries: list[EntryDocument]
    next: str | None


class EntryDetailDocument(EntryDocument):
    """`blocked`: later messages of the same history that wait behind it. `envelope`: the message's metadata, null
    where it is not in the log; `raw_bytes` counts the bytes of one that nobody could read."""

    database: str
    original_id: str
    whole_error: str
    traceback: str
    blocked: int
    envelope: dict[str, Any] | None
    raw_bytes: int | None
    replayable: bool

    @classmethod
    def inspected(cls, inspected: Inspected, *, known: bool) -> EntryDetailDocument:
        letter = inspected.letter
        return cls(
            **_entry(letter),
            database=letter.provider,
            original_id=letter.failure.original_id,
            whole_error=letter.failure.error,
            traceback=letter.failure.traceback,
            blocked=inspected.blocked,
            envelope=None if inspected.envelope is None else _without_headers(inspected.envelope["metadata"]),
            raw_bytes=inspected.raw_size,
            replayable=known and letter.failure.state is FailureState.DEAD,
        )


class OperationDocument(Document):
    """`state`: running, done or failed. `result` and `error` are sentences; `total` of 0: nothing to count."""

    id: str
    kind: str
    actor: str
    target: str
    reason: str
    state: str
    done: int
    total: int
    result: str
    error: str
    started_at: datetime
    told_at: datetime

    @classmethod
    def of(cls, operation: Operation) -> OperationDocument:
        return cls(
            id=operation.id,
            kind=operation.kind,
            actor=operation.actor,
            target=operation.target,
            reason=operation.reason,
            state=operation.state.value,
            done=operation.done,
            total=operation.total,
            result=operation.result,
            error=operation.error,
            started_at=operation.started_at,
            told_at=operation.told_at,
        )


class OperationsDocument(Document):
    """Newest first. `next` is the `before` of the page that follows; null: that was all."""

    operations: list[OperationDocument]
    next: datetime | None

    @classmethod
    def of(cls, found: Sequence[Operation], limit: int) -> OperationsDocument:
        following = found[-1].started_at if len(found) == limit else None
        return cls(operations=[OperationDocument.of(each) for each in found], next=following)


class Request(BaseModel):
    """Nothing but what is declared comes in."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ScopeRequest(Request):
    """Exactly one of `place`, `group` and `all`; `handler` and `stream` narrow `all` down."""

    place: PlaceName | None = None
    group: Name | None = None
    all: bool = False
    handler: Name | None = None
    stream: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> ScopeRequest:
        if [self.place is not None, self.group is not None, self.all].count(True) != 1:
            raise ValueError("name one of `place`, `group` and `all`")
        if not self.all and (self.handler is not None or self.stream is not None):
            raise ValueError("`handler` and `stream` narrow `all` down, and nothing else")
        return self

    @property
    def scope(self) -> Scope:
        return Scope(self.place, self.group, self.handler, self.stream)


class ReplayRequest(Request):
    """`expected`: how many whoever decides was shown."""

    scope: ScopeRequest
    expected: Annotated[int, Field(ge=1, le=10**9)]


class DiscardRequest(ReplayRequest):
    reason: Reason


class PauseRequest(Request):
    """`minutes`: then it goes on by itself."""

    handler: Name
    lane: Name
    reason: Reason
    minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60, allow_inf_nan=False, strict=False)] = 60.0


class ResumeRequest(Request):
    handler: Name
    lane: Name


class AcceptedDocument(Document):
    """The operation to be looked up at `/api/operations/{operation}`."""

    operation: str


class PausedDocument(Document):
    handler: str
    lane: str
    expires_at: datetime


class ResumedDocument(Document):
    """`resumed`: whether it was paused."""

    handler: str
    lane: str
    resumed: bool


def _without_headers(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The names of the headers only: their values are as personal as data, and shown like it, on record."""
    shown = {key: value for key, value in metadata.items() if key in KNOWN}
    return shown | {"headers": sorted(metadata.keys() - KNOWN)}


def _entry(letter: DeadLetter) -> dict[str, Any]:
    failure = letter.failure
    return {
        "place": place(letter),
        "handler": failure.handler,
        "message_id": failure.message_id,
        "message_type": failure.message_type,
        "stream": failure.stream,
        "lane": failure.lane,
        "stream_name": failure.stream_name,
        "state": failure.state,
        "attempts": failure.attempts,
        "error_type": failure.error_type,
        "error": failure.error.strip().partition("\n")[0][:300],
        "first_failed_at": failure.first_failed_at,
        "last_failed_at": failure.last_failed_at,
        "due_at": failure.due_at,
        "discarded_by": failure.discarded_by,
        "discard_reason": failure.discard_reason,
    }
