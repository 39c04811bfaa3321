"""Handlers that see each stream in order, once: by a position per (handler, stream), locked before deciding.

Everything is decided on the locked value, in the transaction that holds the handler's effects: apply the next,
skip what is past, read what is missing from the log. So lanes, retries, duplicates and several consumers change
when something is applied, never what comes out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from protean import crash
from protean.exceptions import DeserializationError, HistoryRemovedError
from protean.handle.decision import Step, next_step
from protean.handle.failing import archived, failed_again, first_failure
from protean.handle.invocation import HandlerFailed, Invocation
from protean.handle.retry import RetryPolicy
from protean.message import Message
from protean.ports.database import Transaction
from protean.ports.handling import Delivery, Outcome, Verdict
from protean.ports.progress import Failure, FailureState, Position
from protean.write.conflicts import CONFLICTS, INFRASTRUCTURE
from protean.write.context import ActiveDomain
from protean.write.unit_of_work import UnitOfWork

#: Seconds of handler time in one group commit. Longer drains a little faster; it is what a production event for a
#: locked aggregate, and on a machine without a free core any, may have to wait for.
GROUP_TIME = 0.010
#: What makes the log itself unusable for a handler: repeating changes nothing until somebody repairs it.
UNREADABLE = (HistoryRemovedError, DeserializationError)
#: Messages read from the log, and committed, at a time when a handler is behind.
PAGE = 100

Item = tuple[Delivery, Message]


class SequencedHandling:
    """`preload` is told, inside the transaction, which messages are about to be handled."""

    def __init__(
        self,
        domain: ActiveDomain,
        *,
        handler: str,
        provider: str,
        invocation: Invocation,
        policy: RetryPolicy,
        preload: Callable[[UnitOfWork, Sequence[Message]], None],
    ) -> None:
        self._domain = domain
        self._handler = handler
        self._provider = provider
        self._invocation = invocation
        self._policy = policy
        self._preload = preload

    def group(self, items: Sequence[Item], go_on: Callable[[], bool]) -> list[Outcome]:
        """Handle the first so many in one transaction; their outcomes, none if the first needs `single`.

        Raises HandlerFailed, with everything undone, when one of them fails.
        """
        outcomes: list[Outcome] = []
        with self._invocation.unit_of_work() as unit:
            transaction = unit.transaction(self._provider)
            at = transaction.positions.lock(self._handler, {message.stream_name for _, message in items})
            began, locked = time.monotonic(), dict(at)
            self._preload(unit, [message for _, message in items])
            for _, message in items:
                if outcomes and (time.monotonic() - began > GROUP_TIME or not go_on()):
                    break
                step = next_step(at[message.stream_name], message.position)
                if step is Step.CATCH_UP and message.position - at[message.stream_name].position > self._page:
                    break
                outcomes.append(self._take(unit, step, at, message))
            self._finish(unit, {name: p.position for name, p in at.items() if p != locked[name]}, items[-1][1])
        return outcomes

    def single(self, delivery: Delivery, message: Message) -> Outcome:
        """Handle one, closing its gap page by page; record the failure if there is one."""
        while True:
            try:
                outcomes = self.group([(delivery, message)], lambda: True)
                if outcomes:
                    return outcomes[0]
                self._catch_up(message.stream_name, message.position, self._page)
            except HandlerFailed as failed:
                outcome = self._record(delivery, message, self._settled_before(failed))
            except UNREADABLE as error:
                outcome = self._record(delivery, message, HandlerFailed(message, error))
            else:
                continue
            if outcome is not None:
                return outcome

    def failed(self, delivery: Delivery, message: Message, error: BaseException) -> Outcome:
        """Record that the message could not be handled because of `error`."""
        outcome = self._record(delivery, message, HandlerFailed(message, error))
        return outcome or Outcome(Verdict.HANDLED, message.id, message.type)

    def retry(self, failure: Failure) -> Failure | None:
        """Try a claimed failure again, and what is blocked behind it; the failure left, None if all is well.

        The block is lifted, and the failure removed, only by a transaction that has seen the end of the log
        under the lock: what was acknowledged as blocked is applied by then.

        A discarded failure takes the same way, except that its message is passed over: the position moves past
        it, what waited behind it is applied in order, and the row is archived.
        """
        while True:
            try:
                if self._resume(failure):
                    return None
            except HandlerFailed as failed:
                return self._refail(failure, self._settled_before(failed))
            except UNREADABLE as error:
                return self.supersede(failure, failed_again(failure, error, self._policy))

    def supersede(self, failure: Failure, again: Failure) -> Failure | None:
        """Put `again` in the place of `failure`, if it is still there; the stream stays blocked."""
        with UnitOfWork(self._domain) as unit:
            transaction = unit.transaction(self._provider)
            transaction.positions.lock(self._handler, [failure.stream_name])
            if not _settled(transaction, failure):
                return None  # somebody else has settled it meanwhile
            transaction.failures.save(again)
        return again

    @property
    def _page(self) -> int:
        """Messages of one stream that one transaction may apply."""
        return 1 if self._invocation.wary else PAGE

    def _take(self, unit: UnitOfWork, step: Step, at: dict[str, Position], message: Message) -> Outcome:
        """Apply the message, and what is missing before it, as `step` says; `at` moves along."""
        name = message.stream_name
        if step is Step.BLOCKED:
            return Outcome(Verdict.BLOCKED, message.id, message.type)
        if step is Step.SKIP:
            return Outcome(Verdict.HANDLED, message.id, message.type)
        due = [message]
        if step is Step.CATCH_UP:
            after = at[name].position
            due = self._missing(unit.transaction(self._provider), name, after, message.position - after)
        applied = sum(self._invocation.call(unit, each) for each in due)
        at[name] = replace(at[name], position=message.position)
        return Outcome(Verdict.HANDLED, message.id, message.type, applied=applied)

    def _missing(self, transaction: Transaction, stream_name: str, after: int, count: int) -> list[Message]:
        """The next `count` messages of a stream from the log. Raises HistoryRemovedError unless all are there."""
        messages = self._following(transaction, stream_name, after, count)
        if len(messages) < count:
            raise HistoryRemovedError(
                f"{stream_name} should go on to {after + count}, and the log ends at {after + len(messages)}"
            )
        return messages

    def _following(self, transaction: Transaction, stream_name: str, after: int, limit: int) -> list[Message]:
        """Up to `limit` messages behind a position, without holes. Raises HistoryRemovedError for a hole."""
        messages = transaction.log.read(stream_name, after, limit)
        for expected, message in enumerate(messages, after + 1):
            if message.position != expected:
                raise HistoryRemovedError(
                    f"{self._handler} needs position {expected} of {stream_name} and the log goes on at "
                    f"{message.position}: retention has removed what is between; rebuild the projection"
                )
        return messages

    def _finish(self, unit: UnitOfWork, moved: dict[str, int], last: Message) -> None:
        """Write the effects and the positions. What the database refuses of them is the handler's failure."""
        try:
            unit.flush()
            if moved:
                unit.transaction(self._provider).positions.move(self._handler, moved)
        except (*INFRASTRUCTURE, *CONFLICTS):
            raise
        except Exception as error:  # also a field's own validator, or a value that no column can keep
            raise HandlerFailed(last, error) from error

    def _catch_up(self, stream_name: str, before: int, page: int) -> None:
        """Apply what is missing below the position `before`, so many messages a transaction."""
        while True:
            with self._invocation.unit_of_work() as unit:
                transaction = unit.transaction(self._provider)
                at = transaction.positions.lock(self._handler, [stream_name])[stream_name]
                count = min(before - 1 - at.position, page)
                if count <= 0:
                    return
                self._apply_page(unit, self._missing(transaction, stream_name, at.position, count))

    def _apply_page(self, unit: UnitOfWork, page: Sequence[Message]) -> None:
        """Apply what was read from the log, but for what a person has discarded, which a block is the sign of."""
        if not page:
            return
        discarded = unit.transaction(self._provider).failures.discarded(self._handler, [each.id for each in page])
        for message in page:
            if message.id not in discarded:
                self._invocation.call(unit, message)
        self._finish(unit, {page[-1].stream_name: page[-1].position}, page[-1])

    def _settled_before(self, failed: HandlerFailed) -> HandlerFailed:
        """Apply what precedes the failed message, which stands on its own; the failure that is left to record.

        What was refused of several together is blamed on the last of them; if an earlier one fails after all, they are
        taken one by one.
        """
        page = self._page
        while True:
            try:
                self._catch_up(failed.message.stream_name, failed.message.position, page)
            except HandlerFailed as earlier:
                failed, page = earlier, 1
            except UNREADABLE as error:
                return HandlerFailed(failed.message, error)
            else:
                return failed

    def _record(self, delivery: Delivery, message: Message, failed: HandlerFailed) -> Outcome | None:
        """Record the failure and block the stream behind it; None if it was handled elsewhere meanwhile."""
        failure = first_failure(self._handler, failed.message, delivery, failed.error, self._policy)
        with UnitOfWork(self._domain) as unit:
            transaction = unit.transaction(self._provider)
            at = transaction.positions.lock(self._handler, [message.stream_name])[message.stream_name]
            if at.position >= failed.message.position:
                return None
            if at.blocked:
                return Outcome(Verdict.BLOCKED, message.id, message.type)
            transaction.failures.save(failure)
            transaction.positions.block(self._handler, message.stream_name, True)
        crash.point("failure.recorded")
        if failed.message.id != message.id:
            return Outcome(Verdict.BLOCKED, message.id, message.type, failure)
        verdict = Verdict.DEAD if failure.state is FailureState.DEAD else Verdict.RETRY
        return Outcome(verdict, message.id, message.type, failure)

    def _resume(self, failure: Failure) -> bool:
        """Apply the next page behind the block; whether that was the end of the log, and the block is lifted."""
        with self._invocation.unit_of_work(again=True) as unit:
            transaction = unit.transaction(self._provider)
            at = transaction.positions.lock(self._handler, [failure.stream_name])[failure.stream_name]
            limit = self._page
            page = self._following(transaction, failure.stream_name, at.position, limit)
            self._apply_page(unit, page)
            if len(page) == limit:
                return False
            _settled(transaction, failure)
            transaction.positions.block(self._handler, failure.stream_name, False)
            return True

    def _refail(self, failure: Failure, failed: HandlerFailed) -> Failure | None:
        """Record that the retry failed: the same message again, or a later one that takes its place."""
        if failed.message.id == failure.message_id:
            again = failed_again(failure, failed.error, self._policy)
        else:
            delivery = Delivery("", failure.stream, failure.lane, None)
            again = first_failure(self._handler, failed.message, delivery, failed.error, self._policy)
        return self.supersede(failure, again)


def _settled(transaction: Transaction, failure: Failure) -> bool:
    """Delete a failure, or archive it if it was discarded; whether it was still there."""
    if not transaction.failures.remove(failure.handler, failure.message_id):
        return False
    if failure.discarded_by is not None:
        transaction.failures.save(archived(failure))
    return True
