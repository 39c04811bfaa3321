"""What was set going from here: carried out in a few threads of its own, on record from its beginning to its end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from protean.clock import utc_now
from protean.domain import Domain
from protean.exceptions import DatabaseError, ProteanError
from protean.ports.control import Operation, OperationState
from protean.server.asking import reading
from protean.server.control import Controls, begun, control_provider

logger = logging.getLogger(__name__)

#: Carried out at the same time, and accepted altogether: those beyond wait for their turn, and more are refused.
AT_ONCE, ACCEPTED = 4, 20
#: Seconds between two writings of what is under way.
TOLD_INTERVAL = 1.0
#: How long one that is under way may say nothing until it counts as abandoned.
SILENT = timedelta(seconds=30)
ABANDONED = "the Observatory ended while it was at this; what it had decided until then holds, the rest is undone"


class BusyError(ProteanError):
    """Raised when so much is under way that nothing more is accepted."""


class StoppedError(ProteanError):
    """Raised in work that is under way when the Observatory ends."""


class Underway:
    """What a piece of work says of itself. To be asked often: `told` ends work that has no time left."""

    def __init__(self, tell: Callable[[int], None], stopping: threading.Event) -> None:
        self._tell = tell
        self._stopping = stopping

    def told(self, done: int) -> None:
        """So much is done. Raises StoppedError when the Observatory ends."""
        self._tell(done)
        if self._stopping.is_set():
            raise StoppedError(ABANDONED)


#: Does something, and says in words what came of it; its ProteanErrors say why it could not.
Work = Callable[[Underway], str]


class Operations:
    """All that is under way here, and what is on record of anybody's. Thread-safe.

    One thread writes everything down, each second: a database that is away for a while is told later.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._provider = control_provider(domain)
        self._controls = Controls(domain)
        self._live: dict[str, Operation] = {}
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._closed = False
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="operation")
        self._clerk = threading.Thread(target=self._write_down, name="operations", daemon=True)

    def start(self) -> None:
        self._clerk.start()

    def stop(self) -> None:
        """End: work under way stops at its next word, and is on record as failed."""
        self._stopping.set()
        self._pool.shutdown(wait=True)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._clerk.join()

    def begin(self, kind: str, work: Work, *, actor: str, target: str, reason: str = "", total: int) -> Operation:
        """Have it done soon; what is on record of it from now on.

        Raises BusyError, and DatabaseError when it cannot be put on record: it is then not begun either.
        """
        operation = begun(kind, actor, target, reason, total)
        with self._changed:
            if self._stopping.is_set() or len(self._live) >= ACCEPTED:
                raise BusyError(f"{len(self._live)} operations are under way or wait for their turn")
            self._live[operation.id] = operation
        try:
            self._controls.record(operation)
        except DatabaseError:
            with self._changed:
                del self._live[operation.id]
            raise
        with self._changed:
            self._changed.notify_all()
        self._pool.submit(self._carry_out, operation.id, work)
        return operation

    def note(self, kind: str, *, actor: str, target: str, result: str) -> None:
        """Put on record what has been done at once. Raises DatabaseError."""
        operation = begun(kind, actor, target, "", 1)
        self._controls.record(replace(operation, state=OperationState.DONE, done=1, result=result))

    def one(self, operation_id: str) -> Operation | None:
        """What is known of it, whoever has begun it. Raises DatabaseError."""
        if (here := self._live.get(operation_id)) is not None:
            return here
        with reading(self._domain, self._provider) as transaction:
            found = transaction.control.operation(operation_id)
        return None if found is None else as_it_stands(found)

    def newest(self, limit: int, before: datetime | None = None) -> list[Operation]:
        """Everybody's, the newest first. Raises DatabaseError."""
        with reading(self._domain, self._provider) as transaction:
            found = transaction.control.operations(limit, before)
        return [self._live.get(each.id) or as_it_stands(each) for each in found]

    def _carry_out(self, operation_id: str, work: Work) -> None:
        underway = Underway(lambda done: self._change(operation_id, done=done), self._stopping)
        try:
            underway.told(0)
            result = work(underway)
        except ProteanError as error:
            self._finish(operation_id, state=OperationState.FAILED, error=str(error))
        except Exception as error:  # a mistake of ours: on record, instead of lost with a future that nobody asks
            logger.exception("An operation ended with an error of the Observatory's own")
            said = f"an error of the Observatory's own, {type(error).__name__}: its log has more"
            self._finish(operation_id, state=OperationState.FAILED, error=said)
        else:
            self._finish(operation_id, state=OperationState.DONE, result=result)

    def _change(self, operation_id: str, *, done: int) -> None:
        with self._changed:
            self._live[operation_id] = replace(self._live[operation_id], done=done)

    def _finish(self, operation_id: str, *, state: OperationState, result: str = "", error: str = "") -> None:
        with self._changed:
            before = self._live[operation_id]
            self._live[operation_id] = replace(before, state=state, result=result, error=error, told_at=utc_now())
            self._changed.notify_all()

    def _write_down(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._live))
                self._changed.wait_for(lambda: self._closed or self._has_ended(), TOLD_INTERVAL)
                live, closed = list(self._live.values()), self._closed
            refused = not self._tell(live)
            if closed:
                return
            if refused:
                self._stopping.wait(TOLD_INTERVAL)

    def _has_ended(self) -> bool:
        return any(each.state is not OperationState.RUNNING for each in self._live.values())

    def _tell(self, live: list[Operation]) -> bool:
        """Write all of them down as they are; whether the database took it. What has ended is then let go."""
        try:
            for each in live:
                ended = each.state is not OperationState.RUNNING
                self._controls.record(each if ended else replace(each, told_at=utc_now()))
                if ended:
                    with self._changed:
                        del self._live[each.id]
        except DatabaseError as error:
            logger.warning("What is under way cannot be put on record now: %s", error)
            return False
        return True


def as_it_stands(operation: Operation) -> Operation:
    """What is on record, and failed where whoever was at it has been silent for long."""
    if operation.state is not OperationState.RUNNING or utc_now() - operation.told_at < SILENT:
        return operation
    return replace(operation, state=OperationState.FAILED, error=ABANDONED)
