"""The line of the log that each delivery ends with."""

from __future__ import annotations

import logging

from protean.ports.handling import Outcome, Verdict
from protean.ports.progress import FailureState
from protean.wording import counted


def report(logger: logging.Logger, handler: str, outcome: Outcome) -> None:
    """Say what became of one delivery, in one line."""
    head = (handler, outcome.message_type, outcome.message_id[:8])
    failure = outcome.failure
    if outcome.verdict is Verdict.HANDLED:
        logger.info("[%s] Processing %s (ID: %s...) -- acked", *head)
    elif failure is None:
        what = "waits behind an earlier failure" if outcome.verdict is Verdict.BLOCKED else "has failed before"
        logger.info("[%s] Processing %s (ID: %s...) -- %s", *head, what)
    elif failure.state is FailureState.WAITING:
        logger.warning(
            "[%s] Processing %s (ID: %s...) -- failed, attempt %d, again at %s: %s: %s",
            *head,
            failure.attempts,
            f"{failure.due_at:%H:%M:%S}",
            failure.error_type,
            failure.error,
        )
    else:
        logger.error(
            "[%s] Processing %s (ID: %s...) -- dead after %s: %s: %s",
            *head,
            counted(failure.attempts, "attempt"),
            failure.error_type,
            failure.error,
        )
