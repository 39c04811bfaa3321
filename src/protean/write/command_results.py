"""What became of an asynchronous command: told by the log, its failure and its result, none of which says it twice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from protean.exceptions import ObjectNotFoundError
from protean.message import Message, MessageKind
from protean.ports.database import Transaction
from protean.ports.progress import FailureFilter, FailureState
from protean.write.context import ActiveDomain
from protean.write.results import result_as_json
from protean.write.unit_of_work import UnitOfWork


class CommandState(StrEnum):
    PENDING = "pending"  # accepted, or failed and to be tried again
    DONE = "done"  # its effects are committed
    FAILED = "failed"  # given up: a dead letter, which a person may replay, or has discarded


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandStatus:
    """`result` is what the handler returned, once it is done. `error` and `error_type` are the last failure's.

    `attempts` are the failed ones so far; `next_attempt_at` is when it is tried again, while it is pending.
    """

    id: str
    type: str
    state: CommandState
    accepted_at: datetime
    finished_at: datetime | None = None
    result: Any = None
    error_type: str | None = None
    error: str | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None


def keep_result(domain: ActiveDomain, unit: UnitOfWork, message: Message, result: Any) -> None:
    """Keep what the handler of an asynchronous command returned, in the transaction of its effects.

    Raises InvalidOperationError when JSON cannot hold it.
    """
    provider = domain.registry.provider_of(message.category)
    kept = result_as_json(result, f"the result of the asynchronous {message.type}")
    unit.transaction(provider).command_results.keep(message.id, kept)


def status_of(domain: ActiveDomain, providers: Iterable[str], command_id: str) -> CommandStatus:
    """What became of the command with that id. Raises ObjectNotFoundError when nothing is known of it (any more)."""
    try:
        known_as = str(UUID(command_id))
    except (ValueError, AttributeError, TypeError):
        raise ObjectNotFoundError(
            f"{command_id!r:.80} is not the id of a command: process(…, asynchronous=True) returns it"
        ) from None
    for provider in providers:
        transaction = domain.database(provider).transaction()
        try:
            for message in transaction.log.find([known_as]):
                return _status(domain, transaction, message)
        finally:
            transaction.rollback()
    raise ObjectNotFoundError(f"there is no command {known_as}: it was never accepted, or its transaction failed")


def _status(domain: ActiveDomain, transaction: Transaction, message: Message) -> CommandStatus:
    if message.kind is not MessageKind.COMMAND:
        raise ObjectNotFoundError(f"{message.id} is the {message.kind} {message.type}, not a command")
    handler = domain.registry.command_route(domain.registry.message_type(message.type)).handler.__name__
    # The failure first: it goes with the transaction that brings the result.
    failures = transaction.failures.find(FailureFilter(handlers=(handler,), message_id=message.id), 1)
    if found := _done(transaction, message):
        return found
    for failure in failures:
        waits = failure.state is FailureState.WAITING
        return CommandStatus(
            id=message.id,
            type=message.type,
            state=CommandState.PENDING if waits else CommandState.FAILED,
            accepted_at=message.time,
            finished_at=None if waits else failure.last_failed_at,
            error_type=failure.error_type,
            error=failure.error if failure.discarded_by is None else f"{failure.error} (discarded)",
            attempts=failure.attempts,
            next_attempt_at=failure.due_at if waits else None,
        )
    if not transaction.inbox.handled(handler, message):
        return CommandStatus(id=message.id, type=message.type, state=CommandState.PENDING, accepted_at=message.time)
    if found := _done(transaction, message):  # it was committed between the two looks
        return found
    raise ObjectNotFoundError(
        f"the {message.type} {message.id} of {message.time:%Y-%m-%d} has been dealt with, and what came of it is not "
        "kept any more ([server] result_retention)"
    )


def _done(transaction: Transaction, message: Message) -> CommandStatus | None:
    kept = transaction.command_results.find(message.id)
    return (
        None
        if kept is None
        else CommandStatus(
            id=message.id,
            type=message.type,
            state=CommandState.DONE,
            accepted_at=message.time,
            finished_at=kept.finished_at,
            result=json.loads(kept.result),
        )
    )
