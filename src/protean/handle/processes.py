"""A process manager's turn: find the process that a message is about, under its lock, let it react, and save it.

The lock is its row in `positions`, the one of its own stream of timeouts: it is there before the process is, so that
two events that could both begin it wait for each other; and one message of a process is handled at a time, whatever
streams they come from, without anybody losing a race and doing things twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from protean.elements.handlers import HandlerSpec, ProcessPlan, Step
from protean.elements.payload import PayloadElement
from protean.elements.process_manager import ProcessManagerElement, close_wishes, open_wishes
from protean.exceptions import InvalidOperationError
from protean.message import Message
from protean.ports.database import Transaction
from protean.ports.rows import Key
from protean.ports.timeouts import Timeout
from protean.write.context import ActiveDomain
from protean.write.tables import checked_key, has_text_key
from protean.write.unit_of_work import UnitOfWork

logger = logging.getLogger(__name__)

#: Calls a method with its arguments, to its end.
Call = Callable[..., Any]


def process_stream(category: str, key: Key) -> str:
    """A process's own stream; its place in `positions` is what the process is locked by."""
    return f"{category}-{key}"


class Processes:
    """The processes of one class. A message older than the class's registration begins none: that is history."""

    def __init__(self, domain: ActiveDomain, handler: HandlerSpec, plan: ProcessPlan) -> None:
        self._domain = domain
        self._name = handler.name
        self._methods = handler.methods
        self._plan = plan
        self._cls = cast("type[ProcessManagerElement]", plan.cls)
        self._category = plan.cls.__protean__.stream_category
        self._provider = plan.cls.__protean__.provider
        self._since: dict[str, int] | None = None

    def handle(self, unit: UnitOfWork, message: Message, payload: PayloadElement, call: Call) -> None:
        """Let the process that the message is about react to it; a message about none is ignored."""
        if message.type == self._plan.told_by.__name__:
            self._wake(unit, message, payload, call)
            return
        step = self._plan.steps[message.type]
        value = getattr(payload, step.source)
        if value is None:
            if step.start:
                raise InvalidOperationError(
                    f"{message.type} {message.id} begins a {self._name} and has no `{step.source}`, which tells it "
                    "from all others"
                )
            self._ignore(message, f"it has no `{step.source}`")
            return
        key = checked_key(self._cls, value)
        process = self._found(unit, message, key, step)
        if process is not None:
            method = self._methods[message.type]
            self._react(unit, message, process, lambda: call(method, process, payload), end=step.end)

    def _wake(self, unit: UnitOfWork, message: Message, told: Any, call: Call) -> None:
        """A timeout is due. It counts only if it was neither cancelled nor set anew since the message was written."""
        key = told.key if has_text_key(self._cls) else int(told.key)
        process = self._found(unit, message, key, None)
        if not unit.transaction(self._provider).timeouts.take(self._name, told.key, told.name, message.id):
            self._ignore(message, f"the timeout {told.name!r} of {told.key} was cancelled or set anew")
            return
        if process is None:
            return
        method = self._plan.timeouts.get(told.name)
        if method is None:
            raise InvalidOperationError(
                f"{self._name} has no method for the timeout {told.name!r}, which was set at a time when it had one; "
                f"mark one with @handle_timeout({told.name!r}), or discard this"
            )
        self._react(unit, message, process, lambda: call(method, process), end=False)

    def _found(self, unit: UnitOfWork, message: Message, key: Key, step: Step | None) -> ProcessManagerElement | None:
        """The process, locked until the transaction ends; a new one if the message begins it, None if it has none."""
        unit.transaction(self._provider).positions.lock(self._name, [process_stream(self._category, key)])
        process = cast("ProcessManagerElement | None", unit.get(self._cls, key))
        if process is None and step is not None and step.start and not self._is_history(message):
            process = self._cls(**{step.key: key})
            unit.add(process)
        if process is None:
            self._ignore(message, f"there is no process {key}")
        elif process.is_complete:
            self._ignore(message, f"the process {key} is over")
            return None
        return process

    def _react(
        self, unit: UnitOfWork, message: Message, process: ProcessManagerElement, act: Callable[[], Any], *, end: bool
    ) -> None:
        wishes = open_wishes(process)
        try:
            act()
        finally:
            close_wishes(process)
        if end:
            process.mark_as_complete()
        key = str(getattr(process, self._cls.__protean__.identity or ""))
        self._keep_timeouts(unit.transaction(self._provider), message, key, None if process.is_complete else wishes)

    def _keep_timeouts(
        self, transaction: Transaction, message: Message, key: str, wishes: dict[str, datetime | None] | None
    ) -> None:
        """Set and cancel what the process wished for; of one that is over, cancel all there are."""
        if wishes is None:
            transaction.timeouts.cancel(self._name, key)
            return
        cancelled = [name for name, due_at in wishes.items() if due_at is None]
        if cancelled:
            transaction.timeouts.cancel(self._name, key, cancelled)
        transaction.timeouts.put(
            [
                Timeout(
                    process=self._name,
                    key=key,
                    name=name,
                    due_at=due_at,
                    priority=message.priority,
                    correlation_id=message.correlation_id or message.id,
                    causation_id=message.id,
                    headers=message.headers,
                )
                for name, due_at in wishes.items()
                if due_at is not None
            ]
        )

    def _is_history(self, message: Message) -> bool:
        """Whether the message was written before an engine first ran this class; without engines nothing is."""
        if self._since is None:
            standings = self._domain.database(self._provider).recovery.standings()
            self._since = {
                type_: standing.start
                for standing in standings
                if standing.handler == self._name
                for type_ in standing.types
            }
        return message.global_position <= self._since.get(message.type, 0)

    def _ignore(self, message: Message, why: str) -> None:
        logger.debug("[%s] ignores %s (ID: %s...): %s", self._name, message.type, message.id[:8], why)
