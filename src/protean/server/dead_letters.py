"""Dead letters for people, and for what they look at them with: find, inspect, replay, discard, purge.

What counts is the failures table. Nothing here edits the log, publishes anything or runs a handler: a replay makes the
handler's own row due again, a discard marks it, and the engine does the rest on its usual way, under the lock of the
aggregate's position. So a replay goes to the handler that failed and to no other, and order holds.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from heapq import merge
from itertools import groupby, islice
from typing import TypeVar

from protean import codec
from protean.clock import utc_now
from protean.deliver.dead_letters import Chronicle
from protean.domain import Domain
from protean.exceptions import InvalidOperationError
from protean.ports.database import Transaction
from protean.ports.progress import Failure, FailureFilter, FailureKey, FailureState, FailureTally
from protean.server.letters import (
    DeadLetter,
    Group,
    Inspected,
    Page,
    Purged,
    Settled,
    grouped,
    key_of,
    place_of,
)

#: Failures in one transaction, or one page of a long walk. More is faster and holds locks longer.
BATCH = 500
#: Rows deleted in one transaction of a purge, and the seconds of rest between two.
PURGE_BATCH, PURGE_REST = 1_000, 0.05
#: Seconds between looks at what is not settled yet.
LOOK_INTERVAL = 0.2

_T = TypeVar("_T")
Progress = Callable[[int], None]


def _unseen(_settled: int) -> None:
    """Nobody watches."""


class DeadLetters:
    """The failures of an initialised domain, in all its databases."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._handlers = {spec.name: spec for spec in domain.registry.consumers}
        self._providers = sorted(name for name, tables in domain.tables.items() if tables)

    def count(self, which: FailureFilter) -> int:
        """How many match."""
        return sum(self._ask(lambda transaction: transaction.failures.count(which)))

    def page(self, which: FailureFilter, *, limit: int = 100, after: str | None = None) -> Page:
        """Up to `limit` of those that match, newest failure first; `after` is the `next` of the page before.

        Raises InvalidOperationError when `after` is something else.
        """
        found = list(islice(self._walk(which, limit + 1, None if after is None else key_of(after)), limit + 1))
        shown = tuple(found[:limit])
        return Page(shown, place_of(shown[-1].failure.key) if len(found) > limit else None)

    def find(self, which: FailureFilter) -> Iterator[DeadLetter]:
        """All that match, newest failure first, however many: fetched page by page."""
        return self._walk(which, BATCH, None)

    def groups(self, which: FailureFilter) -> list[Group]:
        """Those that match by their likely cause, the largest group first."""
        tallies: list[FailureTally] = []
        for found in self._ask(lambda transaction: transaction.failures.tally(which)):
            tallies += found
        return grouped(tallies)

    def members(self, group: Group, state: FailureState = FailureState.DEAD) -> Iterator[DeadLetter]:
        """The failures of a group."""
        which = FailureFilter(handlers=(group.handler,), stream=group.stream, error_type=group.error_type, state=state)
        return (letter for letter in self.find(which) if group.holds(letter.failure))

    def inspect(self, letter: DeadLetter, *, payload: bool = False, history: int = 0) -> Inspected:
        """Everything about one; its data and bytes with `payload`, `history` messages before and behind it."""
        failure = letter.failure
        with self._reading(letter.provider) as transaction:
            messages = transaction.log.find([failure.message_id]) if failure.raw is None else []
            behind, around = 0, []
            for message in messages:
                if self._holds_up(failure):
                    behind = transaction.log.head(message.stream_name) - message.position
                if history:
                    first = max(message.position - history, 0)
                    around = transaction.log.read(message.stream_name, first - 1, 2 * history + 1)
        envelope = json.loads(codec.encode(messages[0])) if messages else None
        if envelope is not None and not payload:
            del envelope["data"]
        raw = failure.raw
        shown = letter if payload else replace(letter, failure=replace(failure, raw=None))
        return Inspected(
            shown, behind, envelope, raw if payload else None, None if raw is None else len(raw), tuple(around)
        )

    def release(self, letters: Iterable[DeadLetter], *, by: str = "") -> list[DeadLetter]:
        """Make dead ones due again, with no attempts counted; those that still were dead.

        Exactly these, whatever has died in the meantime. Raises InvalidOperationError for a handler that the
        domain no longer has: nobody would handle them.
        """
        chosen = list(letters)
        self.require_handlers(chosen)
        released = self._change(chosen, lambda transaction, which: transaction.failures.release(which))
        if self._domain.outbox_broker is not None:
            Chronicle(self._domain.broker()).replayed([letter.failure for letter in released], by)
        return released

    def replay(
        self, letters: Iterable[DeadLetter], *, by: str = "", timeout: float = 60.0, progress: Progress = _unseen
    ) -> Settled:
        """Release them, then wait until the engine has tried each once, at most `timeout` seconds."""
        return self.settle(self.release(letters, by=by), timeout, progress)

    def discard(
        self,
        letters: Iterable[DeadLetter],
        *,
        by: str,
        reason: str,
        timeout: float = 60.0,
        progress: Progress = _unseen,
    ) -> Settled:
        """Decide that their handler shall never see them; the rows stay, archived, with `by` and `reason`.

        Where later messages wait behind one, for handlers that keep an order, the engine moves the position past
        it, applies what waited, and archives it then: waited for like a replay. All others are archived at once.
        Raises InvalidOperationError when nobody or nothing is given for `by` or `reason`.
        """
        marked, archived = self.give_up(letters, by=by, reason=reason)
        settled = self.settle(marked, timeout, lambda count: progress(len(archived) + count))
        settled.succeeded[:0] = archived
        return settled

    def give_up(
        self, letters: Iterable[DeadLetter], *, by: str, reason: str
    ) -> tuple[list[DeadLetter], list[DeadLetter]]:
        """The decision of a discard, without waiting: those that the engine has yet to go past, and the archived.

        Raises InvalidOperationError as `discard` does.
        """
        for name, text in (("by", by), ("reason", reason)):
            if not text.strip():
                raise InvalidOperationError(f"a discard needs `{name}`: it is what people find in the archive")
        chosen = list(letters)
        holding_up = [letter for letter in chosen if self._holds_up(letter.failure)]
        others = [letter for letter in chosen if not self._holds_up(letter.failure)]
        marked = self._change(
            holding_up,
            lambda transaction, which: transaction.failures.discard(which, FailureState.WAITING, by=by, reason=reason),
        )
        archived = self._change(
            others,
            lambda transaction, which: transaction.failures.discard(which, FailureState.ARCHIVED, by=by, reason=reason),
            after=self._forget,
        )
        if self._domain.outbox_broker is not None:
            decided = [letter.failure for letter in (*marked, *archived)]
            Chronicle(self._domain.broker()).discarded(decided, by, reason)
        return marked, archived

    def purge(
        self, older_than: timedelta, states: Sequence[FailureState] = (FailureState.ARCHIVED,), *, dry: bool = False
    ) -> Purged:
        """Delete archived ones older than that, and dead ones if `states` has them; with `dry` only count.

        Age is counted from the archiving, and of dead ones from the last failure. Dead ones that hold up later
        messages are kept: without its row nobody would ever find what blocks the aggregate. Raises
        InvalidOperationError for waiting ones, which are still to be handled.
        """
        if FailureState.WAITING in states:
            raise InvalidOperationError("what waits is still to be handled and cannot be purged")
        before, removed, kept = utc_now() - older_than, 0, 0
        if FailureState.ARCHIVED in states:
            archived = FailureFilter(state=FailureState.ARCHIVED, due_before=before)
            removed += self.count(archived) if dry else self._prune(archived)
        if FailureState.DEAD in states:
            dead = FailureFilter(state=FailureState.DEAD, failed_before=before)
            old = self.find(dead)
            while page := list(islice(old, BATCH)):
                gone = [letter for letter in page if not self._holds_up(letter.failure)]
                kept += len(page) - len(gone)
                removed += len(gone) if dry else len(self._change(gone, _remove, after=self._forget))
        return Purged(removed, kept)

    def settle(self, letters: Sequence[DeadLetter], timeout: float, progress: Progress = _unseen) -> Settled:
        """Wait until the engine has been at every one of them once, at most `timeout` seconds.

        `progress` is told how many are settled. Gives up early when no engine is running.
        """
        result = Settled()
        open_ones = deque(letters)
        deadline = time.monotonic() + timeout
        while open_ones:
            if self._domain.outbox_broker is None or not self._domain.broker().living():
                result.engine_running = False
                break
            looked_at = [open_ones.popleft() for _ in range(min(BATCH, len(open_ones)))]
            open_ones.extend(self._still_open(looked_at, result))
            progress(len(letters) - len(open_ones))
            if not open_ones or time.monotonic() > deadline:
                break
            time.sleep(LOOK_INTERVAL)
        result.unsettled = list(open_ones)
        return result

    def _still_open(self, letters: Sequence[DeadLetter], result: Settled) -> list[DeadLetter]:
        """Those that nobody has been at yet; the others go where they belong in `result`."""
        left: dict[tuple[str, str], Failure] = {}
        for provider, handler, page in _batches(letters):
            which = FailureFilter(handlers=(handler,), message_ids=_ids(page))
            with self._reading(provider) as transaction:
                left.update({(each.handler, each.message_id): each for each in transaction.failures.find(which, BATCH)})
        still_open = []
        for letter in letters:
            now = left.get((letter.failure.handler, letter.failure.message_id))
            if now is None or now.state is FailureState.ARCHIVED:
                result.succeeded.append(letter)
            elif now.last_failed_at > letter.failure.last_failed_at:
                result.failed_again.append(now)
            else:
                still_open.append(letter)
        return still_open

    def _walk(self, which: FailureFilter, size: int, after: FailureKey | None) -> Iterator[DeadLetter]:
        """Those of all databases in one order, `size` fetched at a time."""
        walks = [self._walk_one(provider, which, min(size, BATCH), after) for provider in self._providers]
        return merge(*walks, key=lambda letter: letter.failure.key, reverse=True)

    def _walk_one(
        self, provider: str, which: FailureFilter, size: int, after: FailureKey | None
    ) -> Iterator[DeadLetter]:
        while True:
            with self._reading(provider) as transaction:
                page = transaction.failures.find(which, size, after)
            for failure in page:
                yield DeadLetter(provider, failure)
            if len(page) < size:
                return
            after = page[-1].key

    def _change(
        self,
        letters: Sequence[DeadLetter],
        change: Callable[[Transaction, FailureFilter], int],
        after: Callable[[Transaction, Sequence[DeadLetter]], None] | None = None,
    ) -> list[DeadLetter]:
        """Carry out a change of dead failures, and what follows from it, batch by batch; those that were changed."""
        changed: list[DeadLetter] = []
        for provider, handler, page in _batches(letters):
            which = FailureFilter(handlers=(handler,), message_ids=_ids(page), state=FailureState.DEAD)
            mine = page
            while mine:
                transaction = self._domain.database(provider).transaction()
                try:
                    if change(transaction, replace(which, message_ids=_ids(mine))) == len(mine):
                        if after is not None:
                            after(transaction, mine)
                        transaction.commit()
                        break
                finally:
                    transaction.rollback()
                # Somebody else has been at some of them. How many is known, but not which: look, and begin again.
                with self._reading(provider) as reading:
                    dead = {failure.message_id for failure in reading.failures.find(which, len(page))}
                left = [letter for letter in mine if letter.failure.message_id in dead]
                if len(left) == len(mine):
                    raise InvalidOperationError(f"somebody else is at dead letters of {handler} as well; try again")
                mine = left
            changed += mine
        return changed

    def _forget(self, transaction: Transaction, letters: Sequence[DeadLetter]) -> None:
        """Have no later copy of the messages handled either, nor anything held up by them."""
        failure = letters[0].failure
        handler = self._handlers.get(failure.handler)
        readable = [letter.failure for letter in letters if letter.failure.raw is None]
        messages = transaction.log.find([each.message_id for each in readable])
        if handler is not None and not handler.sequenced:
            transaction.inbox.record(failure.handler, messages, failed_before=True)
        elif handler is None:
            for message in messages:
                _pass_over(transaction, failure.handler, message.stream_name, message.position)

    def _holds_up(self, failure: Failure) -> bool:
        """Whether later messages wait behind it: the handler keeps an order, and the message has a place in it."""
        handler = self._handlers.get(failure.handler)
        return handler is not None and handler.sequenced and failure.raw is None

    def require_handlers(self, letters: Sequence[DeadLetter]) -> None:
        """Raise InvalidOperationError when nobody would handle what is replayed."""
        orphans = sorted({letter.failure.handler for letter in letters} - self._handlers.keys())
        if orphans:
            raise InvalidOperationError(
                f"{', '.join(orphans)} is not a handler of {self._domain.name} any more, so nobody would handle what "
                "is replayed; discard it instead"
            )

    def _prune(self, which: FailureFilter) -> int:
        """Delete what matches in small transactions; how many."""
        total = 0
        for provider in self._providers:
            while True:
                transaction = self._domain.database(provider).transaction()
                try:
                    pruned = transaction.failures.prune(which, PURGE_BATCH)
                    transaction.commit()
                finally:
                    transaction.rollback()
                total += pruned
                if pruned < PURGE_BATCH:
                    break
                time.sleep(PURGE_REST)
        return total

    def _ask(self, question: Callable[[Transaction], _T]) -> list[_T]:
        answers = []
        for provider in self._providers:
            with self._reading(provider) as transaction:
                answers.append(question(transaction))
        return answers

    @contextmanager
    def _reading(self, provider: str) -> Iterator[Transaction]:
        """A transaction that leaves nothing behind."""
        transaction = self._domain.database(provider).transaction()
        try:
            yield transaction
        finally:
            transaction.rollback()


def _remove(transaction: Transaction, which: FailureFilter) -> int:
    return transaction.failures.prune(which, BATCH)


def _pass_over(transaction: Transaction, handler: str, stream_name: str, position: int) -> None:
    """Lift a block that a handler left behind which nobody runs any more, so that it does not wait for ever.

    Should the handler come back, it goes on behind the message, and reads from the log what it has missed.
    """
    at = transaction.positions.lock(handler, [stream_name])[stream_name]
    if at.blocked and at.position == position - 1:
        transaction.positions.move(handler, {stream_name: position})
        transaction.positions.block(handler, stream_name, False)


def _batches(letters: Sequence[DeadLetter]) -> Iterator[tuple[str, str, list[DeadLetter]]]:
    """The letters by database and handler, not too many at a time."""
    ordered = sorted(letters, key=_owner)
    for (provider, handler), members in groupby(ordered, key=_owner):
        while page := list(islice(members, BATCH)):
            yield provider, handler, page


def _owner(letter: DeadLetter) -> tuple[str, str]:
    return letter.provider, letter.failure.handler


def _ids(letters: Sequence[DeadLetter]) -> tuple[str, ...]:
    return tuple(letter.failure.message_id for letter in letters)
