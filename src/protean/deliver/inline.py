"""Delivery without a broker: handlers run right after the commit, on the thread that committed."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from protean import codec
from protean.deliver.lanes import Lane
from protean.message import NewMessage
from protean.ports.database import Database
from protean.ports.handling import Delivery, Execute, Outcome, Verdict

logger = logging.getLogger(__name__)


class InlineDelivery:
    """`handlers_of` makes the executors of a category; `database` opens the one that holds the messages.

    `retry` tries again what has failed and is due in a database; there is no engine to do it.

    What handlers commit in turn waits its turn: first everything an earlier message caused. A handler that
    fails stays in the failures table; the commit that it followed stands.
    """

    def __init__(
        self,
        handlers_of: Callable[[str], Sequence[Execute]],
        database: Callable[[str], Database],
        retry: Callable[[str], object],
    ) -> None:
        self._handlers_of = handlers_of
        self._database = database
        self._retry = retry
        self._failed: set[str] = set()
        self._local = threading.local()

    def deliver(self, provider: str, messages: Sequence[NewMessage]) -> None:
        """Have the committed messages handled, and all that follows from them."""
        waiting: deque[tuple[str, str]] | None = getattr(self._local, "waiting", None)
        due = [(provider, message.id) for message in messages if self._handlers_of(message.category)]
        if waiting is not None:
            waiting.extend(due)
            return
        self._local.waiting = waiting = deque(due)
        try:
            while waiting:
                self._handle_safely(*waiting.popleft())
        finally:
            self._local.waiting = None

    def _handle_safely(self, provider: str, message_id: str) -> None:
        """What goes wrong after a commit is not the committer's error: the commit stands."""
        try:
            if provider in self._failed:
                self._retry(provider)
            self._handle(provider, message_id)
        except Exception:  # whatever it is, the next message must not suffer for it
            logger.exception("Message %s was committed and could not be handled", message_id)

    def _handle(self, provider: str, message_id: str) -> None:
        transaction = self._database(provider).transaction()
        try:
            found = transaction.log.find([message_id])
        finally:
            transaction.rollback()
        for message in found:
            delivery = Delivery(message.id, message.category, Lane.PRIMARY, codec.encode(message))
            for execute in self._handlers_of(message.category):
                for outcome in execute([delivery], grouped=False, go_on=lambda: True):
                    if outcome.verdict is not Verdict.HANDLED:
                        self._failed.add(provider)
                        self._report(outcome)

    def _report(self, outcome: Outcome) -> None:
        failure = outcome.failure
        if failure is None:
            logger.warning("%s %s waits behind an earlier failure", outcome.message_type, outcome.message_id)
            return
        logger.error(
            "[%s] failed to handle %s %s: %s: %s\n%s",
            failure.handler,
            failure.message_type,
            failure.message_id,
            failure.error_type,
            failure.error,
            failure.traceback,
        )
