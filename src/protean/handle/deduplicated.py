"""Handlers without an order of their own: each message once, by an inbox row in the handler's transaction."""

from __future__ import annotations

from dataclasses import replace

from protean import crash
from protean.handle.failing import failed_again, first_failure
from protean.handle.invocation import HandlerFailed, Invocation
from protean.handle.retry import RetryPolicy
from protean.message import Message
from protean.ports.handling import Delivery, Outcome, Verdict
from protean.ports.progress import Failure, FailureFilter, FailureState
from protean.write.conflicts import CONFLICTS, INFRASTRUCTURE
from protean.write.context import ActiveDomain
from protean.write.unit_of_work import UnitOfWork

_VERDICTS = {
    FailureState.WAITING: Verdict.RETRY,
    FailureState.DEAD: Verdict.DEAD,
    FailureState.ARCHIVED: Verdict.HANDLED,
}


class DeduplicatedHandling:
    """`keeps_payload`: what fails is kept with its bytes, for it is in no log."""

    def __init__(
        self,
        domain: ActiveDomain,
        handler: str,
        provider: str,
        invocation: Invocation,
        policy: RetryPolicy,
        *,
        keeps_payload: bool = False,
    ) -> None:
        self._domain = domain
        self._handler = handler
        self._provider = provider
        self._invocation = invocation
        self._policy = policy
        self._keeps_payload = keeps_payload

    def single(self, delivery: Delivery, message: Message) -> Outcome:
        """Handle the message unless it was handled before; record the failure if there is one."""
        try:
            applied = self._apply(message)
        except HandlerFailed as failed:
            return self.failed(delivery, message, failed.error)
        return Outcome(Verdict.HANDLED, message.id, message.type, applied=applied)

    def failed(self, delivery: Delivery, message: Message, error: BaseException) -> Outcome:
        """Record that the message could not be handled because of `error`.

        Of a copy that is delivered once more, the story that is written down already goes on as it was.
        """
        failure = first_failure(self._handler, message, delivery, error, self._policy)
        if self._keeps_payload:
            failure = replace(failure, raw=delivery.payload)
        with UnitOfWork(self._domain) as unit:
            failures = unit.transaction(self._provider).failures
            known = failures.find(FailureFilter(handlers=(self._handler,), message_id=message.id), 1)
            if not known:
                failures.save(failure)
        crash.point("failure.recorded")
        if known:
            return Outcome(_VERDICTS[known[0].state], message.id, message.type)
        return Outcome(_VERDICTS[failure.state], message.id, message.type, failure)

    def retry(self, failure: Failure, message: Message) -> Failure | None:
        """Try a claimed failure again; the failure left, None if all is well."""
        try:
            self._apply(message, settles=failure)
        except HandlerFailed as failed:
            return self.save(failed_again(failure, failed.error, self._policy))
        return None

    def save(self, failure: Failure) -> Failure:
        """Write the failure down."""
        with UnitOfWork(self._domain) as unit:
            unit.transaction(self._provider).failures.save(failure)
        return failure

    def _apply(self, message: Message, settles: Failure | None = None) -> int:
        """Note the message and call the handler in one transaction; how often it was called, 0 or 1."""
        try:
            with self._invocation.unit_of_work(again=settles is not None) as unit:
                transaction = unit.transaction(self._provider)
                applied = 0
                if transaction.inbox.record(self._handler, [message], failed_before=settles is not None):
                    applied = int(self._invocation.call(unit, message))
                if settles is not None:
                    transaction.failures.remove(self._handler, settles.message_id)
        except (*INFRASTRUCTURE, *CONFLICTS):
            raise
        except HandlerFailed:
            raise
        except Exception as error:  # also a field's own validator, or a value that no column can keep
            raise HandlerFailed(message, error) from error
        return applied
