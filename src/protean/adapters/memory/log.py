"""The log in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

from protean import codec
from protean.adapters.memory.session import Session
from protean.adapters.memory.store import Logged, OutboxEntry
from protean.adapters.values import checked_json
from protean.clock import utc_now
from protean.exceptions import DatabaseError, ExpectedVersionError
from protean.message import Message, NewMessage
from protean.ports.log import LogFilter


class MemoryLog:
    """`Log` in memory."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(
        self, messages: Sequence[NewMessage], broker: str | None, expected: Mapping[str, int] | None = None
    ) -> None:
        for message in messages:
            checked_json(message.data, f"the data of {message.type} {message.id}")
            checked_json(message.metadata, f"the metadata of {message.type} {message.id}")
        for name, head in (expected or {}).items():
            if self._session.changing().heads.get(name, -1) != head:
                self._session.spoil()
                raise ExpectedVersionError(f"somebody else has continued the stream {name} behind {head}", name)
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

    def behind(self, message_ids: Collection[str]) -> Mapping[str, int]:
        return {each.id: self.head(each.stream_name) - each.position for each in self.find(message_ids)}

    def search(self, which: LogFilter, limit: int) -> list[Message]:
        logged = sorted(self._session.seen().messages.values(), key=lambda each: each.global_position)
        read = (_message(each) for each in logged if each.global_position > which.after)
        return list(islice((message for message in read if _matches(which, message)), limit))

    def streams(self, category: str, after: str, limit: int) -> list[str]:
        logged = list(self._session.seen().messages.values())
        names = {each.message.stream_name for each in logged if each.message.category == category}
        return sorted(name for name in names if name > after)[:limit]

    def find(self, message_ids: Collection[str]) -> list[Message]:
        messages = self._session.seen().messages
        found = [messages[message_id] for message_id in set(message_ids) if message_id in messages]
        return [_message(logged) for logged in sorted(found, key=lambda logged: logged.global_position)]


def _matches(which: LogFilter, message: Message) -> bool:
    return (
        (which.upto is None or message.global_position <= which.upto)
        and (which.categories is None or message.category in which.categories)
        and (which.types is None or message.type in which.types)
        and which.correlation_id in (None, message.correlation_id)
        and (which.since is None or message.time >= which.since)
        and (which.until is None or message.time < which.until)
    )


def _message(logged: Logged) -> Message:
    return codec.message(logged.message.data, logged.message.metadata, logged.position, logged.global_position)
