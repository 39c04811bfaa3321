"""What a failure looks like in the failures table, and whether it is the last."""

from __future__ import annotations

import traceback
from dataclasses import replace
from datetime import timedelta

from protean.clock import utc_now
from protean.exceptions import DeserializationError, HistoryRemovedError, UnknownTypeError
from protean.handle.retry import RetryPolicy
from protean.message import Message
from protean.ports.handling import Delivery
from protean.ports.progress import Failure, FailureState

#: Longest error and traceback texts kept, in characters. The end of a traceback says most.
ERROR_LENGTH = 1_000
TRACEBACK_LENGTH = 8_000


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
    waits_for_code = isinstance(error, UnknownTypeError)
    hopeless = isinstance(error, DeserializationError | HistoryRemovedError)
    dead = hopeless or (policy.exhausted(failure.attempts) and not waits_for_code)
    return replace(
        failure,
        state=FailureState.DEAD if dead else FailureState.WAITING,
        due_at=now + timedelta(seconds=policy.delay(failure.attempts)),
        error_type=type(error).__name__,
        error=_bounded(str(error), ERROR_LENGTH),
        traceback=_bounded("".join(traceback.format_exception(error)), TRACEBACK_LENGTH),
        last_failed_at=now,
    )


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
