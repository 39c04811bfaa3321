"""What a failure looks like in the failures table, and whether it is the last."""

from __future__ import annotations

import traceback
from dataclasses import replace
from datetime import timedelta

from protean.clock import utc_now
from protean.exceptions import (
    DeserializationError,
    HandlerDiedError,
    HistoryRemovedError,
    TransientDatabaseError,
    UnknownTypeError,
)
from protean.handle.retry import RetryPolicy
from protean.message import Message
from protean.ports.handling import Delivery
from protean.ports.progress import Failure, FailureState

#: Longest error and traceback texts kept, in characters. The end of a traceback says most.
ERROR_LENGTH = 1_000
TRACEBACK_LENGTH = 8_000

#: What a message waits out: newer code, which a deployment brings, or a database in which others are always
#: faster. Neither is the message's fault, so neither is an attempt of it.
PASSING = (UnknownTypeError, TransientDatabaseError)
#: What no repetition mends.
HOPELESS = (DeserializationError, HistoryRemovedError)
#: How a command handler says no.
_REFUSALS = frozenset({"ValidationError", "InvalidOperationError", "ObjectNotFoundError"})
_SAYS_NOTHING_OF_THE_HANDLER = frozenset(error.__name__ for error in (*PASSING, *HOPELESS, HandlerDiedError))


def first_failure(
    handler: str, message: Message, delivery: Delivery, error: BaseException, policy: RetryPolicy
) -> Failure:
    """The failure of a message's first attempt."""
    now = utc_now()
    failure = Failure(
        handler=handler,
        message_id=message.id,
        stream_name=message.stream_name,
        stream=delivery.stream,
        lane=delivery.lane,
        attempts=1,
        due_at=now,
        state=FailureState.WAITING,
        message_type=message.type,
        error_type="",
        error="",
        traceback="",
        first_failed_at=now,
        last_failed_at=now,
        original_id=delivery.entry_id,
    )
    return failed_again(failure, error, policy)


def failed_again(failure: Failure, error: BaseException, policy: RetryPolicy) -> Failure:
    """The same failure after one more attempt, already counted, has ended in `error`."""
    now = utc_now()
    hopeless, passing = isinstance(error, HOPELESS), isinstance(error, PASSING)
    uncounted = passing or (policy.lenient and not hopeless)
    attempts = max(failure.attempts - 1, 0) if uncounted else failure.attempts
    dead = hopeless or (not uncounted and policy.exhausted(attempts))
    waited = (now - failure.first_failed_at).total_seconds()
    delay = policy.delay_of_waiting(waited) if passing else policy.delay(attempts)
    return replace(
        failure,
        state=FailureState.DEAD if dead else FailureState.WAITING,
        attempts=attempts,
        due_at=now + timedelta(seconds=delay),
        error_type=type(error).__name__,
        error=_bounded(str(error), ERROR_LENGTH),
        traceback=_bounded("".join(traceback.format_exception(error)), TRACEBACK_LENGTH),
        last_failed_at=now,
        # A dead letter is a person's to decide, once more if that could not be carried out.
        discarded_by=None if dead else failure.discarded_by,
        discard_reason=None if dead else failure.discard_reason,
    )


def blames_the_handler(failure: Failure) -> bool:
    """Whether the failure says something about the handler, or what it needs, rather than about the message."""
    return failure.error_type not in _SAYS_NOTHING_OF_THE_HANDLER


def refuses(failure: Failure) -> bool:
    """Whether a command was refused: its handler is well, and says no."""
    return failure.error_type in _REFUSALS


def archived(failure: Failure) -> Failure:
    """A claimed failure whose discarding has been carried out."""
    return replace(failure, state=FailureState.ARCHIVED, attempts=max(failure.attempts - 1, 0), due_at=utc_now())


def unreadable(handler: str, delivery: Delivery, error: DeserializationError) -> Failure:
    """The failure of an entry whose envelope nobody can read: dead at once, its bytes kept."""
    now = utc_now()
    return Failure(
        handler=handler,
        message_id=f"{delivery.stream}/{delivery.entry_id}",
        stream_name="",
        stream=delivery.stream,
        lane=delivery.lane,
        attempts=1,
        due_at=now,
        state=FailureState.DEAD,
        message_type="",
        error_type=type(error).__name__,
        error=_bounded(str(error), ERROR_LENGTH),
        traceback=_bounded("".join(traceback.format_exception(error)), TRACEBACK_LENGTH),
        first_failed_at=now,
        last_failed_at=now,
        original_id=delivery.entry_id,
        raw=delivery.payload or b"",
    )


def _bounded(text: str, length: int) -> str:
    """The end of the text, without what a database cannot store."""
    return text[-length:].replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
