"""The life of one delivery: decode, decide, run the handler in one transaction, say what became of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta

from protean import codec
from protean.clock import utc_now
from protean.elements.element import ElementKind
from protean.elements.handlers import HandlerSpec
from protean.exceptions import DatabaseError, DeserializationError, HandlerDiedError, HistoryRemovedError
from protean.handle.breaker import Breaker, Passing
from protean.handle.deduplicated import DeduplicatedHandling
from protean.handle.failing import blames_the_handler, failed_again, refuses, unreadable
from protean.handle.interruptions import Interruptions
from protean.handle.invocation import HandlerFailed, Invocation
from protean.handle.retry import RetryPolicy
from protean.handle.sequenced import UNREADABLE, Item, SequencedHandling
from protean.message import Message
from protean.ports.handling import Delivery, Outcome, Verdict
from protean.ports.progress import Failure
from protean.wording import counted
from protean.write.conflicts import CONFLICTS, repeating
from protean.write.context import ActiveDomain
from protean.write.tables import has_text_key
from protean.write.unit_of_work import UnitOfWork

logger = logging.getLogger(__name__)

#: Messages of one group commit at most, whatever the subscription reads at a time.
LARGEST_GROUP = 1_000
#: What is recorded of a message that nobody survived.
DIED = "the processes in which {} handled this ended without a word: killed, out of memory, or a crash in native code"
#: What is recorded when an attempt was begun, and counted, and nobody came back from it, for the last time.
DIED_AT_LAST = (
    "attempt {} was begun and never ended: its process was killed, ran out of memory, or crashed in native code; "
    "there are no attempts left"
)

Handling = SequencedHandling | DeduplicatedHandling


class Executor:
    """Runs one handler class. `provider` names the database of its effects.

    `breaker` is shared by all executors of the handler in this process. While it is open nothing is handled: neither
    by `execute` nor by `retry`.
    """

    def __init__(
        self,
        domain: ActiveDomain,
        handler: HandlerSpec,
        provider: str,
        policy: RetryPolicy = RetryPolicy(),
        breaker: Breaker | None = None,
    ) -> None:
        self._domain = domain
        self._handler = handler
        self._provider = provider
        self._policy = policy
        self._breaker = breaker or Breaker(handler.name)
        self._fitting = 1
        self._interruptions = Interruptions()
        self._invocation = Invocation(domain, handler, self._interruptions)
        self._usual, self._trial = self._handling(policy), self._handling(policy.of_a_trial)

    def rests_for(self) -> float:
        """Seconds for which the handler's breaker lets nothing through; 0.0: ready."""
        return self._breaker.rests_for()

    @property
    def doubted(self) -> bool:
        """Whether the handler's breaker is open: what is handed over next is a trial."""
        return not self._breaker.closed

    def execute(self, deliveries: Sequence[Delivery], *, grouped: bool, go_on: Callable[[], bool]) -> list[Outcome]:
        """See `protean.ports.handling.Execute`."""
        passing = self._breaker.enter()
        if passing is Passing.NONE:
            return []
        if passing is Passing.ONE:
            try:
                return self._execute(deliveries[:1], self._trial, False, go_on)
            finally:
                self._breaker.leave()
        grouped = grouped and self._handler.sequenced and not self._interruptions.wary
        offered = deliveries[: self._fitting] if grouped else deliveries
        outcomes = self._execute(offered, self._usual, grouped, lambda: go_on() and self._breaker.closed)
        if grouped:
            self._fit(len(offered), len(outcomes))
        return outcomes

    def retry(self, failure: Failure) -> Failure | None:
        """Try a claimed failure again; the failure that is left, None if all is well.

        What comes back as it last failed was not tried: the breaker is open, and its attempt is not counted.
        """
        passing = self._breaker.enter()
        if passing is Passing.NONE:
            rested = utc_now() + timedelta(seconds=self._breaker.rests_for())
            return self._supersede(failure, replace(failure, attempts=failure.attempts - 1, due_at=rested))
        if passing is Passing.ONE:
            try:
                return self._retry(failure, trial=True)
            finally:
                self._breaker.leave()
        return self._retry(failure, trial=False)

    def _handling(self, policy: RetryPolicy) -> Handling:
        name = self._handler.name
        if not self._handler.sequenced:
            foreign = self._handler.kind is ElementKind.SUBSCRIBER
            return DeduplicatedHandling(
                self._domain, name, self._provider, self._invocation, policy, keeps_payload=foreign
            )
        return SequencedHandling(
            self._domain,
            handler=name,
            provider=self._provider,
            invocation=self._invocation,
            policy=policy,
            preload=self._preload,
        )

    def _execute(
        self, deliveries: Sequence[Delivery], handling: Handling, grouped: bool, go_on: Callable[[], bool]
    ) -> list[Outcome]:
        known: list[Outcome | None] = []  # None: to be handled
        items: list[Item] = []
        for delivery in deliveries:
            read = self._read(delivery)
            known.append(None if isinstance(read, Message) else read)
            if isinstance(read, Message):
                items.append((delivery, read))
        settled_items = self._handle(items, handling, grouped, go_on) if items else []
        if self._domain.signals.tracing:
            about = zip(settled_items, items, strict=False)
            settled_items = [replace(outcome, message=message) for outcome, (_, message) in about]
        handled = iter(settled_items)
        outcomes: list[Outcome] = []
        for outcome in known:
            settled = outcome or next(handled, None)
            if settled is None:
                break
            outcomes.append(settled)
        return outcomes

    def _fit(self, offered: int, taken: int) -> None:
        """Offer the next group what is likely to fit its time: it locks, for everybody, all that it is offered."""
        self._fitting = min(offered * 2, LARGEST_GROUP) if taken == offered else max(taken, 1)

    def _handle(
        self, items: Sequence[Item], handling: Handling, grouped: bool, go_on: Callable[[], bool]
    ) -> list[Outcome]:
        if grouped and len(items) > 1 and isinstance(handling, SequencedHandling):
            return self._group(handling, items, go_on)
        return self._one_by_one(items, handling, go_on)

    def _heed(self, outcome: Outcome, handling: Handling) -> Outcome:
        """Tell the breaker what became of it. Duplicates, what is blocked or unreadable, and what waits say nothing."""
        self._interruptions.over(outcome.message_id, applied=outcome.applied > 0)
        if outcome.failure is not None:
            self._heed_failure(outcome.failure, trial=handling is self._trial)
        elif outcome.applied:
            self._breaker.succeeded()
        return outcome

    def _heed_failure(self, failure: Failure, *, trial: bool, again: bool = False) -> None:
        self._interruptions.over(failure.message_id, applied=False)
        commands = self._handler.kind is ElementKind.COMMAND_HANDLER
        blamed = blames_the_handler(failure) and not (commands and refuses(failure))
        run = self._breaker.failed(failure, trial=trial, again=again) if blamed else ()
        if run:
            self._forgive(run)

    def _forgive(self, message_ids: Collection[str]) -> None:
        """Uncount the attempts of the run that opened the breaker. The outcome stands, whatever comes of this."""
        transaction = self._domain.database(self._provider).transaction()
        try:
            transaction.failures.forgive(self._handler.name, message_ids)
            transaction.commit()
        except DatabaseError as error:
            stay = counted(len(message_ids), "failed attempt")
            logger.warning("[%s] not forgiven, because of the database: %s: %s", self._handler.name, stay, error)
        finally:
            transaction.rollback()

    def _retry(self, failure: Failure, *, trial: bool) -> Failure | None:
        """What has failed on its own before, and had that counted, also counts as a trial: it asks for itself."""
        again = failure.attempts > 1
        left = self._tried(failure, self._trial if trial and not again else self._usual)
        self._interruptions.over(failure.message_id, applied=left is None)
        if left is not None:
            self._heed_failure(left, trial=trial, again=again and left.message_id == failure.message_id)
        elif failure.discarded_by is None:
            self._breaker.succeeded()
        return left

    def _tried(self, failure: Failure, handling: Handling) -> Failure | None:
        if failure.raw is not None and not failure.message_type:  # nobody could tell what it is
            return self._reread(failure, failure.raw)
        before = failure.attempts - 1
        if self._policy.exhausted(before) and failure.discarded_by is None:
            died = HandlerDiedError(DIED_AT_LAST.format(before))
            return self._supersede(failure, failed_again(replace(failure, attempts=before), died, self._policy))
        try:
            if isinstance(handling, SequencedHandling):
                return repeating(lambda: handling.retry(failure))
            message = self._again(failure)
            return repeating(lambda: handling.retry(failure, message))
        except (*UNREADABLE, *CONFLICTS) as error:
            return self._supersede(failure, failed_again(failure, error, self._policy))

    def _supersede(self, failure: Failure, again: Failure) -> Failure | None:
        if isinstance(self._usual, SequencedHandling):
            return self._usual.supersede(failure, again)
        return self._usual.save(again)

    def _read(self, delivery: Delivery) -> Message | Outcome:
        """The message, or already the outcome: trimmed meanwhile, unreadable, or none of this handler's business."""
        if delivery.payload is None:
            return Outcome(Verdict.HANDLED, "", "trimmed entry")
        try:
            message = self._decoded(delivery)
        except DeserializationError as error:
            failure = unreadable(self._handler.name, delivery, error)
            with UnitOfWork(self._domain) as unit:
                unit.transaction(self._provider).failures.save(failure)
            return Outcome(Verdict.DEAD, failure.message_id, "an unreadable entry", failure)
        if not self._invocation.wants(message.type):
            return Outcome(Verdict.HANDLED, message.id, message.type)
        return message

    def _group(self, handling: SequencedHandling, items: Sequence[Item], go_on: Callable[[], bool]) -> list[Outcome]:
        """All in one transaction; after an error one at a time, up to where it went wrong."""
        alone = 1
        try:
            outcomes = repeating(lambda: handling.group(items, go_on))
            if outcomes:
                return [self._heed(outcome, handling) for outcome in outcomes]
        except UNREADABLE:
            alone = len(items)
        except HandlerFailed as failed:
            ids = [message.id for _, message in items]
            alone = ids.index(failed.message.id) + 1 if failed.message.id in ids else len(ids)
        except CONFLICTS:
            alone = len(items)
        return self._one_by_one(items[:alone], handling, go_on)

    def _one_by_one(self, items: Sequence[Item], handling: Handling, go_on: Callable[[], bool]) -> list[Outcome]:
        outcomes = [self._single(*items[0], handling)]
        for item in items[1:]:
            if not go_on():
                break
            outcomes.append(self._single(*item, handling))
        return outcomes

    def _single(self, delivery: Delivery, message: Message, handling: Handling) -> Outcome:
        if delivery.suspected:
            died = HandlerDiedError(DIED.format(self._handler.name))
            return self._heed(handling.failed(delivery, message, died), handling)
        try:
            return self._heed(repeating(lambda: handling.single(delivery, message)), handling)
        except CONFLICTS as error:
            return self._heed(handling.failed(delivery, message, error), handling)

    def _preload(self, unit: UnitOfWork, messages: Sequence[Message]) -> None:
        """Fetch the projection's rows that have the messages' aggregates' identities: most handlers ask for those."""
        projection = self._handler.projection
        if len(messages) > 1 and projection is not None and has_text_key(projection):
            identities = {message.stream_name.removeprefix(f"{message.category}-") for message in messages}
            unit.preload(projection, identities)

    def _reread(self, failure: Failure, raw: bytes) -> Failure | None:
        """Try the bytes of a message that nobody could read; a newer codec may know better."""
        delivery = Delivery(failure.original_id, failure.stream, failure.lane, raw)
        read = self._read(delivery)
        if isinstance(read, Message):
            read = self._single(delivery, read, self._usual)
        if read.failure is None or read.failure.message_id != failure.message_id:
            with UnitOfWork(self._domain) as unit:
                unit.transaction(self._provider).failures.remove(failure.handler, failure.message_id)
        return read.failure

    def _decoded(self, delivery: Delivery) -> Message:
        """The message of a delivery. Raises DeserializationError."""
        return codec.decode(delivery.payload or b"")

    def _again(self, failure: Failure) -> Message:
        """The message that a failure is about. Raises HistoryRemovedError, DeserializationError."""
        message_id = failure.message_id
        transaction = self._domain.database(self._provider).transaction()
        try:
            found = transaction.log.find([message_id])
        finally:
            transaction.rollback()
        if not found:
            raise HistoryRemovedError(f"message {message_id} is no longer in the log: retention has removed it")
        return found[0]
