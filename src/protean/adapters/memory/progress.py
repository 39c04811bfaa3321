"""Positions, inbox and failures in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from protean.adapters.memory.session import Session
from protean.adapters.memory.store import Noted
from protean.clock import utc_now
from protean.message import Message
from protean.ports.progress import Failure, FailureFilter, FailureKey, FailureState, FailureTally, Position


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

    def record(self, handler: str, messages: Sequence[Message], *, failed_before: bool = False) -> set[str]:
        contents, now, fresh = self._session.changing(), utc_now(), set()
        for message in messages:
            key = handler, message.id
            standing = contents.handlers.get((handler, message.type))
            vouched = standing is not None and standing.start < message.global_position <= standing.floor
            if key not in contents.inbox and (failed_before or not vouched):
                contents.inbox[key] = Noted(now, message.global_position)
                fresh.add(message.id)
        return fresh

    def handled(self, handler: str, message: Message) -> bool:
        contents = self._session.seen()
        standing = contents.handlers.get((handler, message.type))
        vouched = standing is not None and standing.start < message.global_position <= standing.floor
        return vouched or (handler, message.id) in contents.inbox

    def forget(self, handler: str, below: int, limit: int) -> int:
        inbox = self._session.changing().inbox
        found = [key for key, noted in [*inbox.items()] if key[0] == handler and noted.global_position < below][:limit]
        for key in found:
            del inbox[key]
        return len(found)


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

    def give_back(self, claimed: Failure, due_at: datetime) -> bool:
        failures = self._session.changing().failures
        held = failures.get(_key(claimed))
        if held is None or held.state is not FailureState.WAITING or held.attempts != claimed.attempts:
            return False
        failures[_key(claimed)] = replace(held, attempts=held.attempts - 1, due_at=due_at)
        return True

    def forgive(self, handler: str, message_ids: Collection[str]) -> int:
        failures = self._session.changing().failures
        which = FailureFilter(handlers=(handler,), message_ids=tuple(message_ids), state=FailureState.WAITING)
        counted = [failure for failure in self._matching(which) if failure.attempts]
        failures.update({_key(failure): replace(failure, attempts=failure.attempts - 1) for failure in counted})
        return len(counted)

    def find(self, which: FailureFilter, limit: int, after: FailureKey | None = None) -> list[Failure]:
        found = sorted(self._matching(which), key=lambda failure: failure.key, reverse=True)
        return [failure for failure in found if after is None or failure.key < after][:limit]

    def count(self, which: FailureFilter) -> int:
        return len(self._matching(which))

    def tally(self, which: FailureFilter) -> list[FailureTally]:
        alike: dict[tuple[str, str, FailureState, str, str], list[Failure]] = {}
        for each in self._matching(which):
            alike.setdefault((each.handler, each.stream, each.state, each.error_type, each.error), []).append(each)
        tallies = [
            FailureTally(
                *shared,
                len(failures),
                min(failure.first_failed_at for failure in failures),
                max(failure.last_failed_at for failure in failures),
            )
            for shared, failures in alike.items()
        ]
        return sorted(tallies, key=lambda tally: (-tally.count, tally.handler, tally.error))

    def discarded(self, handler: str, message_ids: Sequence[str]) -> set[str]:
        failures = self._session.seen().failures
        found = {message_id: failures.get((handler, message_id)) for message_id in message_ids}
        return {message_id for message_id, failure in found.items() if failure and failure.discarded_by is not None}

    def remove(self, handler: str, message_id: str) -> bool:
        return self._session.changing().failures.pop((handler, message_id), None) is not None

    def prune(self, which: FailureFilter, limit: int) -> int:
        failures = self._session.changing().failures
        found = self._matching(which)[:limit]
        for failure in found:
            del failures[_key(failure)]
        return len(found)

    def release(self, which: FailureFilter) -> int:
        now = utc_now()
        return self._end_dead(
            which,
            lambda failure: replace(
                failure, state=FailureState.WAITING, attempts=0, due_at=min(failure.first_failed_at, now)
            ),
        )

    def discard(self, which: FailureFilter, state: FailureState, *, by: str, reason: str) -> int:
        now = utc_now()
        return self._end_dead(
            which,
            lambda failure: replace(failure, state=state, due_at=now, discarded_by=by, discard_reason=reason),
        )

    def _end_dead(self, which: FailureFilter, changed: Callable[[Failure], Failure]) -> int:
        failures = self._session.changing().failures
        dead = [failure for failure in self._matching(which) if failure.state is FailureState.DEAD]
        failures.update({_key(failure): changed(failure) for failure in dead})
        return len(dead)

    def _matching(self, which: FailureFilter) -> list[Failure]:
        return [failure for failure in list(self._session.seen().failures.values()) if _matches(which, failure)]


def _matches(which: FailureFilter, failure: Failure) -> bool:
    exactly = ("lane", "state", "stream", "stream_name", "message_id", "error_type", "attempts")
    return (
        all(getattr(which, name) in (None, getattr(failure, name)) for name in exactly)
        and (which.handlers is None or failure.handler in which.handlers)
        and (which.message_ids is None or failure.message_id in which.message_ids)
        and failure.message_id.startswith(which.message_prefix or "")
        and (which.failed_before is None or failure.last_failed_at < which.failed_before)
        and (which.due_before is None or failure.due_at < which.due_before)
    )


def _key(failure: Failure) -> tuple[str, str]:
    return failure.handler, failure.message_id
