"""Calling a handler's method with its message, in the surroundings that belong to that message."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from protean import crash
from protean.elements.handlers import HandlerSpec, Method
from protean.elements.payload import decode
from protean.exceptions import InvalidOperationError, SessionLostError, UnknownTypeError
from protean.handle import underway
from protean.handle.interruptions import BUDGET, Interruptions
from protean.message import Message
from protean.write.conflicts import CONFLICTS, INFRASTRUCTURE
from protean.write.context import ActiveDomain, Cause, active, caused_by
from protean.write.unit_of_work import UnitOfWork


class HandlerFailed(Exception):  # noqa: N818  # it carries a failure through a rollback, it is not one of ours
    """The handler raised `error` for `message`; everything its transaction did must be undone."""

    def __init__(self, message: Message, error: BaseException) -> None:
        self.message = message
        self.error = error
        super().__init__(str(error))


class Invocation:
    """Calls the methods of one handler class, with a new instance for every message.

    `interruptions` counts the sessions that end meanwhile.
    """

    def __init__(self, domain: ActiveDomain, handler: HandlerSpec, interruptions: Interruptions) -> None:
        self._domain = domain
        self._handler = handler
        self._interruptions = interruptions
        self._transaction = threading.local()

    @property
    def wary(self) -> bool:
        """Whether a unit of work should call the handler with one message only: see `Interruptions`."""
        return self._interruptions.wary

    @contextmanager
    def unit_of_work(self) -> Iterator[UnitOfWork]:
        """A unit of work for calls of the handler.

        Raises HandlerFailed in place of SessionLostError when too many sessions have ended under the same message.
        """
        called = self._transaction.called = list[Message]()
        try:
            with UnitOfWork(self._domain) as unit:
                yield unit
        except SessionLostError as error:
            if not self._interruptions.too_many(called):
                raise
            error.add_note(f"{BUDGET} sessions have ended, one after the other, while the handler had this message")
            raise HandlerFailed(called[-1], error) from error

    def wants(self, message_type: str) -> bool:
        """Whether the handler has a method for that type; otherwise the message costs it nothing."""
        return message_type in self._handler.methods

    def call(self, unit: UnitOfWork, message: Message) -> bool:
        """Call the method for the message, if there is one; whether there was. Raises HandlerFailed.

        `unit` is that of `unit_of_work`, in which its effects are. Whatever the handler leaves in context
        variables, a priority in a generator it has not exhausted for one, is gone afterwards: it runs in a copy.
        """
        method = self._handler.methods.get(message.type)
        if method is None:
            return False
        self._transaction.called.append(message)
        copy_context().run(self._run, unit, method, message)
        return True

    def _run(self, unit: UnitOfWork, method: Method, message: Message) -> None:
        cause = Cause(message.id, message.correlation_id or message.id, message.headers)
        with active(self._domain), caused_by(cause, message.priority):
            underway.begin(self._handler.name, message.id)
            try:
                result = method(self._handler.cls(), self._payload(message))
                if inspect.iscoroutine(result):
                    _finish(result)
                _refuse_generator(result)
                crash.point("sub.mid_handler")
                unit.collect()
            except (*INFRASTRUCTURE, *CONFLICTS, KeyboardInterrupt):
                raise  # not the handler's doing
            except BaseException as error:  # a handler that exits or is cancelled has failed as well
                raise HandlerFailed(message, error) from error
            finally:
                underway.end()

    def _payload(self, message: Message) -> Any:
        cls = self._domain.registry.message_type(message.type)
        known = cls.__protean__.version
        if message.version > known:
            raise UnknownTypeError(
                f"{message.type} has version {message.version}, this process knows {known}: it waits for a newer one"
            )
        return decode(cls, message.data)


_runners = threading.local()


def _finish(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run an `async def` handler to its end on this thread's own event loop, in the current context.

    Tasks that it does not wait for rest until the next one runs here, and have no part in its unit of work by then.
    """
    if _is_inside_a_loop():  # inline delivery, from a coroutine of the application: that loop stands still meanwhile
        with ThreadPoolExecutor(max_workers=1) as elsewhere:
            elsewhere.submit(copy_context().run, asyncio.run, coroutine).result()
        return
    runner: asyncio.Runner | None = getattr(_runners, "runner", None)
    if runner is None:
        runner = _runners.runner = asyncio.Runner()
    runner.run(coroutine, context=copy_context())


def _refuse_generator(result: object) -> None:
    """Declarations refuse generators; a decorator can hide one."""
    if inspect.isgenerator(result):
        raise InvalidOperationError("the method returned a generator, and nothing of it has run; it must not yield")


def _is_inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
