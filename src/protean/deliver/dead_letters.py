"""Dead letters on the stream beside the lane, told so that `redis-cli XRANGE` explains itself.

The failures table is what counts. This is a chronicle for people with a broker at hand, kept as well as it can be:
after a crash an entry may be there twice, or missing. What happens to a letter later is told by another entry with
its `message_id` and `handler`; the last one says how things stand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from protean import crash
from protean.clock import utc_now
from protean.deliver.lanes import dead_letter_stream
from protean.exceptions import BrokerError
from protean.ports.broker import DeadLetters
from protean.ports.progress import Failure
from protean.wording import counted

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
                "state": "dead",
            },
        )
        crash.point("dlq.added")


class Chronicle:
    """Tells on the same streams what people have decided about dead letters."""

    def __init__(self, dead_letters: DeadLetters) -> None:
        self._dead_letters = dead_letters

    def replayed(self, failures: Sequence[Failure], by: str) -> None:
        """They are due again. Should one die once more, its next letter says so."""
        self._tell(failures, {"state": "replayed", "by": by})

    def discarded(self, failures: Sequence[Failure], by: str, reason: str) -> None:
        """Their handler shall never see them."""
        self._tell(failures, {"state": "discarded", "by": by, "reason": reason})

    def _tell(self, failures: Sequence[Failure], decision: dict[str, str]) -> None:
        """The decision is made and kept in the database, whether the broker takes its part of the story or not."""
        told = 0
        try:
            for failure in failures:
                self._dead_letters.bury(
                    dead_letter_stream(failure.stream),
                    {
                        "message_id": failure.message_id,
                        "handler": failure.handler,
                        "original_id": failure.original_id,
                        "at": utc_now().isoformat(),
                        **decision,
                    },
                )
                told += 1
        except BrokerError as error:
            logger.warning(
                "The broker was not told of %s (%s); the failures table knows: %s",
                counted(len(failures) - told, "letter"),
                decision["state"],
                error,
            )
