"""Delivery without a broker: handlers run right after the commit, on the thread that committed."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from protean import codec
from protean.message import NewMessage
from protean.ports.database import Database
from protean.ports.handling import Delivery, Execute, Outcome, Verdict

logger = logging.getLogger(__name__)

#: The lane of messages that take none.
INLINE = "inline"


class InlineDelivery:
    """`handlers_of` makes the executors of a category; `database` opens the one that holds the messages.

    What handlers commit in turn waits its turn: first everything an earlier message caused. A handler that
    fails stays in the failures table; the commit that it followed stands.
    """

    def __init__(self, handlers_of: Callable[[str], Sequence[Execute]], database: Callable[[str], Database]) -> None:
        self._handlers_of = handlers_of
        self._database = database
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
                self._handle(*waiting.popleft())
        finally:
            self._local.waiting = None

    def _handle(self, provider: str, message_id: str) -> None:
        transaction = self._database(provider).transaction()
        try:
            found = transaction.log.find([message_id])
        finally:
            transaction.rollback()
        for message in found:
            delivery = Delivery(message.id, message.category, INLINE, codec.encode(message))
            for execute in self._handlers_of(message.category):
                for outcome in execute([delivery], grouped=False, go_on=lambda: True):
                    self._report(outcome)

    def _report(self, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.HANDLED or outcome.failure is None:
            return
        logger.error(
            "[%s] failed to handle %s %s: %s: %s\n%s",
            outcome.failure.handler,
            outcome.message_type,
            outcome.message_id,
            outcome.failure.error_type,
            outcome.failure.error,
            outcome.failure.traceback,
        )
