"""Deciding about a running system: pausing and resuming, and the record of what was done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from protean.clock import utc_now
from protean.domain import Domain
from protean.exceptions import InvalidOperationError
from protean.ports.control import Operation, OperationState, Pause
from protean.ports.database import Transaction
from protean.server.asking import providers_of, reading
from protean.suggestion import did_you_mean

#: How long a lane may be paused at most, and unless said otherwise.
LONGEST_PAUSE, USUAL_PAUSE = timedelta(days=7), timedelta(hours=1)
#: Longest reason, in characters.
REASON_LENGTH = 500


class Controls:
    """The decisions of one domain, kept in one of its databases."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._provider = control_provider(domain)

    def pauses(self) -> list[Pause]:
        """Those in force."""
        with reading(self._domain, self._provider) as transaction:
            return [pause for pause in transaction.control.pauses() if pause.expires_at > utc_now()]

    def pause(self, handler: str, lane: str, *, reason: str, actor: str, lasting: timedelta = USUAL_PAUSE) -> Pause:
        """Have every engine give the handler nothing on that lane. Raises InvalidOperationError for what cannot be."""
        self._require(handler, lane)
        if not reason.strip() or len(reason) > REASON_LENGTH:
            raise InvalidOperationError(f"a pause needs a reason, of at most {REASON_LENGTH} characters")
        if not timedelta(0) < lasting <= LONGEST_PAUSE:
            raise InvalidOperationError(f"a pause lasts up to {LONGEST_PAUSE.days} days, not {lasting}")
        now = utc_now()
        pause = Pause(handler=handler, lane=lane, reason=reason, actor=actor, paused_at=now, expires_at=now + lasting)
        with self._writing() as transaction:
            transaction.control.pause(pause)
            until = f"until {pause.expires_at:%Y-%m-%d %H:%M} UTC"
            transaction.control.record(_done("pause", actor, f"{handler}, {lane} lane", reason, f"paused {until}"))
        return pause

    def resume(self, handler: str, lane: str, *, actor: str) -> bool:
        """Let it go on; whether it was paused. Raises InvalidOperationError for what cannot be."""
        self._require(handler, lane)
        with self._writing() as transaction:
            resumed = transaction.control.resume(handler, lane)
            if resumed:
                transaction.control.record(_done("resume", actor, f"{handler}, {lane} lane", "", "goes on"))
        return resumed

    def record(self, operation: Operation) -> None:
        """Write down what is being done, or what came of it."""
        with self._writing() as transaction:
            transaction.control.record(operation)

    def _require(self, handler: str, lane: str) -> None:
        handlers = [spec.name for spec in self._domain.registry.consumers]
        handlers += [subscriber.handler.name for subscriber in self._domain.registry.subscribers]
        if handler not in handlers:
            raise InvalidOperationError(f"there is no handler {handler!r}{did_you_mean(handler, handlers)}")
        lanes = [each.value for each in self._domain.lanes.in_use]
        if lane not in lanes:
            raise InvalidOperationError(f"there is no lane {lane!r}; this domain has {' and '.join(lanes)}")

    @contextmanager
    def _writing(self) -> Iterator[Transaction]:
        transaction = self._domain.database(self._provider).transaction()
        try:
            yield transaction
            transaction.commit()
        finally:
            transaction.rollback()


def control_provider(domain: Domain) -> str:
    """The database that decisions are kept in: the default one, if anything is."""
    providers = providers_of(domain)
    return "default" if "default" in providers else providers[0]


def begun(kind: str, actor: str, target: str, reason: str, total: int) -> Operation:
    """The record of something that begins now."""
    now = utc_now()
    return Operation(
        id=uuid4().hex,
        kind=kind,
        actor=actor,
        target=target,
        reason=reason,
        state=OperationState.RUNNING,
        done=0,
        total=total,
        result="",
        error="",
        started_at=now,
        told_at=now,
    )


def _done(kind: str, actor: str, target: str, reason: str, result: str) -> Operation:
    return replace(begun(kind, actor, target, reason, 1), state=OperationState.DONE, done=1, result=result)
