"""The life of one delivery: decode, decide, run the handler in one transaction, say what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protean import codec
from protean.elements.handlers import HandlerSpec
from protean.exceptions import DeserializationError, HandlerDiedError, HistoryRemovedError
from protean.handle.deduplicated import DeduplicatedHandling
from protean.handle.failing import failed_again, unreadable
from protean.handle.invocation import HandlerFailed, Invocation
from protean.handle.retry import RetryPolicy
from protean.handle.sequenced import UNREADABLE, Item, SequencedHandling
from protean.message import Message
from protean.ports.handling import Delivery, Outcome, Verdict
from protean.ports.progress import Failure
from protean.write.conflicts import CONFLICTS, repeating
from protean.write.context import ActiveDomain
from protean.write.tables import has_text_key
from protean.write.unit_of_work import UnitOfWork

#: Messages of one group commit at most, whatever the subscription reads at a time.
LARGEST_GROUP = 1_000
#: What is recorded of a message that nobody survived.
DIED = "the processes in which {} handled this ended without a word: killed, out of memory, or a crash in native code"


class Executor:
    """Runs one handler class. `provider` names the database of its effects."""

    def __init__(
        self, domain: ActiveDomain, handler: HandlerSpec, provider: str, policy: RetryPolicy = RetryPolicy()
    ) -> None:
        self._domain = domain
        self._handler = handler
        self._provider = provider
        self._policy = policy
        self._fitting = 1
        self._invocation = Invocation(domain, handler)
        self._sequenced = (
            SequencedHandling(
                domain,
                handler=handler.name,
                provider=provider,
                invocation=self._invocation,
                policy=policy,
                preload=self._preload,
            )
            if handler.sequenced
            else None
        )
        self._deduplicated = DeduplicatedHandling(domain, handler.name, provider, self._invocation, policy)

    def execute(self, deliveries: Sequence[Delivery], *, grouped: bool, go_on: Callable[[], bool]) -> list[Outcome]:
        """See `protean.ports.handling.Execute`."""
        known: list[Outcome | None] = []  # None: to be handled
        items: list[Item] = []
        grouped = grouped and self._sequenced is not None
        for delivery in deliveries[: self._fitting] if grouped else deliveries:
            read = self._read(delivery)
            known.append(None if isinstance(read, Message) else read)
            if isinstance(read, Message):
                items.append((delivery, read))
        handled = iter(self._handle(items, grouped, go_on) if items else ())
        outcomes: list[Outcome] = []
        for outcome in known:
            settled = outcome or next(handled, None)
            if settled is None:
                break
            outcomes.append(settled)
        if grouped:
            self._fit(len(known), len(outcomes))
        return outcomes

    def _fit(self, offered: int, taken: int) -> None:
        """Offer the next group what is likely to fit its time: it locks, for everybody, all that it is offered."""
        self._fitting = min(offered * 2, LARGEST_GROUP) if taken == offered else max(taken, 1)

    def _handle(self, items: Sequence[Item], grouped: bool, go_on: Callable[[], bool]) -> list[Outcome]:
        if grouped and len(items) > 1 and self._sequenced is not None:
            return self._group(self._sequenced, items, go_on)
        return self._one_by_one(items, go_on)

    def retry(self, failure: Failure) -> Failure | None:
        """Try a claimed failure again; the failure that is left, None if all is well."""
        if failure.raw is not None:
            return self._reread(failure, failure.raw)
        try:
            if self._sequenced is not None:
                sequenced = self._sequenced
                return repeating(lambda: sequenced.retry(failure))
            message = self._from_log(failure.message_id)
            return repeating(lambda: self._deduplicated.retry(failure, message))
        except (*UNREADABLE, *CONFLICTS) as error:
            return self._deduplicated.save(failed_again(failure, error, self._policy))

    def _read(self, delivery: Delivery) -> Message | Outcome:
        """The message, or already the outcome: trimmed meanwhile, unreadable, or none of this handler's business."""
        if delivery.payload is None:
            return Outcome(Verdict.HANDLED, "", "trimmed entry")
        try:
            message = codec.decode(delivery.payload)
        except DeserializationError as error:
            failure = unreadable(self._handler.name, delivery, error)
            with UnitOfWork(self._domain) as unit:
                unit.transaction(self._provider).failures.save(failure)
            return Outcome(Verdict.DEAD, failure.message_id, "an unreadable entry", failure)
        if not self._invocation.wants(message.type):
            return Outcome(Verdict.HANDLED, message.id, message.type)
        return message

    def _group(self, sequenced: SequencedHandling, items: Sequence[Item], go_on: Callable[[], bool]) -> list[Outcome]:
        """All in one transaction; after an error one at a time, up to where it went wrong."""
        alone = 1
        try:
            outcomes = repeating(lambda: sequenced.group(items, go_on))
            if outcomes:
                return outcomes
        except UNREADABLE:
            alone = len(items)
        except HandlerFailed as failed:
            ids = [message.id for _, message in items]
            alone = ids.index(failed.message.id) + 1 if failed.message.id in ids else len(ids)
        except CONFLICTS:
            alone = len(items)
        return self._one_by_one(items[:alone], go_on)

    def _one_by_one(self, items: Sequence[Item], go_on: Callable[[], bool]) -> list[Outcome]:
        outcomes = [self._single(*items[0])]
        for item in items[1:]:
            if not go_on():
                break
            outcomes.append(self._single(*item))
        return outcomes

    def _single(self, delivery: Delivery, message: Message) -> Outcome:
        handling = self._sequenced or self._deduplicated
        if delivery.suspected:
            return handling.failed(delivery, message, HandlerDiedError(DIED.format(self._handler.name)))
        try:
            return repeating(lambda: handling.single(delivery, message))
        except CONFLICTS as error:
            return handling.failed(delivery, message, error)

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
            read = self._single(delivery, read)
        if read.failure is None or read.failure.message_id != failure.message_id:
            with UnitOfWork(self._domain) as unit:
                unit.transaction(self._provider).failures.remove(failure.handler, failure.message_id)
        return read.failure

    def _from_log(self, message_id: str) -> Message:
        transaction = self._domain.database(self._provider).transaction()
        try:
            found = transaction.log.find([message_id])
        finally:
            transaction.rollback()
        if not found:
            raise HistoryRemovedError(f"message {message_id} is no longer in the log: retention has removed it")
        return found[0]
