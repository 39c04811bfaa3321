"""Dead letters on the stream beside the lane, told so that `redis-cli XRANGE` explains itself.

The failures table is what counts. This is a copy for people with a broker at hand, made as well as it can be: after
a crash it may be there twice, or missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from protean.deliver.lanes import dead_letter_stream
from protean.exceptions import BrokerError
from protean.ports.broker import DeadLetters
from protean.ports.progress import Failure

logger = logging.getLogger(__name__)


class Undertaker:
    """`payload_of` finds the envelope of a failure's message."""

    def __init__(self, dead_letters: DeadLetters, payload_of: Callable[[Failure], bytes]) -> None:
        self._dead_letters = dead_letters
        self._payload_of = payload_of

    def bury(self, failure: Failure) -> None:
        """Write the dead letter, if the broker takes it: a full one must not stop the lane, which would never empty."""
        try:
            self._write(failure)
        except BrokerError as error:
            logger.warning(
                "The dead letter of %s is in the failures table only, `protean dlq` shows it: %s",
                failure.message_id,
                error,
            )

    def _write(self, failure: Failure) -> None:
        self._dead_letters.bury(
            dead_letter_stream(failure.stream),
            {
                "data": self._payload_of(failure),
                "error": failure.error,
                "error_type": failure.error_type,
                "traceback": failure.traceback,
                "handler": failure.handler,
                "attempts": str(failure.attempts),
                "failed_at": failure.last_failed_at.isoformat(),
                "original_id": failure.original_id,
                "message_id": failure.message_id,
            },
        )
