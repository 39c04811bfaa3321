"""The log, positions, inbox and failures in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from protean import codec
from protean.adapters.memory.session import Session
from protean.adapters.memory.store import Logged, OutboxEntry
from protean.adapters.values import checked_json
from protean.clock import utc_now
from protean.exceptions import DatabaseError
from protean.message import Message, NewMessage
from protean.ports.progress import Failure, FailureFilter, FailureState, Position


class MemoryLog:
    """`Log` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(self, messages: Sequence[NewMessage], broker: str | None) -> None:
        for message in messages:
            checked_json(message.data, f"the data of {message.type} {message.id}")
            checked_json(message.metadata, f"the metadata of {message.type} {message.id}")
        for message in messages:
            contents = self._session.changing()
            if message.id in contents.messages:
                self._session.spoil()
                raise DatabaseError("memory: a message with that id is in the log already")
            position = contents.heads.get(message.stream_name, -1) + 1
            logged = Logged(message, position, self._session.next_number("log"))
            contents.heads[message.stream_name] = position
            contents.log[message.stream_name, position] = contents.messages[message.id] = logged
            if broker is not None:
                entry = OutboxEntry(logged=logged, broker=broker, created_at=utc_now())
                contents.outbox[self._session.next_number("outbox")] = entry

    def read(self, stream_name: str, after: int, limit: int) -> list[Message]:
        log, head = self._session.seen().log, self.head(stream_name)
        first = max(after + 1, 0)
        return [_message(log[stream_name, position]) for position in range(first, min(head + 1, first + limit))]

    def head(self, stream_name: str) -> int:
        return self._session.seen().heads.get(stream_name, -1)

    def find(self, message_ids: Collection[str]) -> list[Message]:
        messages = self._session.seen().messages
        found = [messages[message_id] for message_id in set(message_ids) if message_id in messages]
        return [_message(logged) for logged in sorted(found, key=lambda logged: logged.global_position)]


class MemoryPositions:
    """`Positions` in memory: whoever locks one row holds the store, as in SQLite."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def lock(self, handler: str, stream_names: Collection[str]) -> dict[str, Position]:
        positions = self._session.changing().positions
        return {name: positions.setdefault((handler, name), Position(-1, False)) for name in sorted(stream_names)}

    def move(self, handler: str, positions: Mapping[str, int]) -> None:
        held = self._session.changing().positions
        for name, position in positions.items():
            if (handler, name) in held:
                held[handler, name] = replace(held[handler, name], position=position)

    def block(self, handler: str, stream_name: str, blocked: bool) -> None:
        held = self._session.changing().positions
        if (handler, stream_name) in held:
            held[handler, stream_name] = replace(held[handler, stream_name], blocked=blocked)


class MemoryInbox:
    """`Inbox` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def record(self, handler: str, message_ids: Sequence[str]) -> set[str]:
        inbox, now = self._session.changing().inbox, utc_now()
        fresh = {message_id for message_id in message_ids if (handler, message_id) not in inbox}
        inbox.update({(handler, message_id): now for message_id in fresh})
        return fresh

    def prune(self, handled_before: datetime, limit: int) -> int:
        inbox = self._session.changing().inbox
        old = sorted((at, key) for key, at in inbox.items() if at < handled_before)[:limit]
        for _, key in old:
            del inbox[key]
        return len(old)


class MemoryFailures:
    """`Failures` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def save(self, failure: Failure) -> None:
        self._session.changing().failures[_key(failure)] = failure

    def claim(self, which: FailureFilter, limit: int, lease_seconds: float) -> list[Failure]:
        failures, now = self._session.changing().failures, utc_now()
        due = [
            failure
            for failure in self._matching(which)
            if failure.state is FailureState.WAITING and failure.due_at <= now
        ]
        due.sort(key=lambda failure: (failure.due_at, *_key(failure)))
        leased_until = now + timedelta(seconds=lease_seconds)
        claimed = [replace(each, attempts=each.attempts + 1, due_at=leased_until) for each in due[:limit]]
        failures.update({_key(failure): failure for failure in claimed})
        return claimed

    def find(self, which: FailureFilter, limit: int, offset: int = 0) -> list[Failure]:
        found = sorted(self._matching(which), key=_key)
        found.sort(key=lambda failure: failure.last_failed_at, reverse=True)
        return found[offset : offset + limit]

    def count(self, which: FailureFilter) -> int:
        return len(self._matching(which))

    def remove(self, handler: str, message_id: str) -> bool:
        return self._session.changing().failures.pop((handler, message_id), None) is not None

    def release(self, which: FailureFilter) -> int:
        failures, now = self._session.changing().failures, utc_now()
        dead = [failure for failure in self._matching(which) if failure.state is FailureState.DEAD]
        for failure in dead:
            released = replace(failure, state=FailureState.WAITING, attempts=0, due_at=now)
            failures[_key(failure)] = released
        return len(dead)

    def _matching(self, which: FailureFilter) -> list[Failure]:
        return [
            failure
            for failure in list(self._session.seen().failures.values())
            if (which.handlers is None or failure.handler in which.handlers)
            and which.lane in (None, failure.lane)
            and which.state in (None, failure.state)
            and which.stream in (None, failure.stream)
            and which.stream_name in (None, failure.stream_name)
            and which.message_id in (None, failure.message_id)
        ]


def _key(failure: Failure) -> tuple[str, str]:
    return failure.handler, failure.message_id


def _message(logged: Logged) -> Message:
    return codec.message(logged.message.data, logged.message.metadata, logged.position, logged.global_position)
