"""Calling a handler's method with its message, in the surroundings that belong to that message."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from protean import crash
from protean.elements.element import ElementKind
from protean.elements.handlers import HandlerSpec, Method
from protean.exceptions import InvalidOperationError
from protean.handle import underway
from protean.handle.interruptions import BUDGET, INTERRUPTIONS, Interruptions
from protean.handle.processes import Processes
from protean.message import Message, MessageKind
from protean.write.command_results import keep_result
from protean.write.conflicts import CONFLICTS, INFRASTRUCTURE
from protean.write.context import ActiveDomain, active, caused_by
from protean.write.holding import Asked, Holding
from protean.write.messages import cause_of
from protean.write.reading import payload_of
from protean.write.unit_of_work import UnitOfWork


class HandlerFailed(Exception):  # noqa: N818  # it carries a failure through a rollback, it is not one of ours
    """The handler raised `error` for `message`; everything its transaction did must be undone."""

    def __init__(self, message: Message, error: BaseException) -> None:
        self.message = message
        self.error = error
        super().__init__(str(error))


class _Underway(threading.local):
    """What the transaction of this thread has called the handler with; None: it is somebody else's."""

    messages: list[Message] | None = None
    calls: list[tuple[Message, float]] | None = None  # with the seconds each took, for those who want to know
    #: What the transaction before it asked for, if it lost a race.
    foreseen: Collection[Asked] = ()


class Invocation:
    """Calls the methods of one handler class, with a new instance for every message.

    `interruptions` counts the sessions that end meanwhile.
    """

    def __init__(self, domain: ActiveDomain, handler: HandlerSpec, interruptions: Interruptions) -> None:
        self._domain = domain
        self._handler = handler
        self._interruptions = interruptions
        self._transaction = _Underway()
        self._processes = None if handler.process is None else Processes(domain, handler, handler.process)

    @property
    def wary(self) -> bool:
        """Whether a unit of work should call the handler with one message only: see `Interruptions`."""
        return self._interruptions.wary

    @contextmanager
    def unit_of_work(self, *, again: bool = False) -> Iterator[UnitOfWork]:
        """A unit of work for calls of the handler; `again`: after a failure.

        Raises HandlerFailed, with the last message that the handler was called with, for what is refused only at the
        commit (a deferred constraint; an error that the handler has caught), and in place of `INTERRUPTIONS` when there
        were too many under one message.
        """
        messages = self._transaction.messages = list[Message]()
        holding = Holding(eager=self._handler.projection, repeated=True, foreseen=self._transaction.foreseen)
        self._transaction.foreseen = ()
        committing = False
        signals = self._domain.signals
        calls = self._transaction.calls = list[tuple[Message, float]]() if signals.wanted else None
        try:
            with UnitOfWork(self._domain, holding=holding) as unit:
                yield unit
                committing = True
        except CONFLICTS:
            self._transaction.foreseen = holding.asked
            raise
        except INTERRUPTIONS as error:
            if not self._interruptions.too_many(messages):
                raise
            error.add_note(f"{BUDGET} transactions were broken off, one after the other, with this message")
            raise HandlerFailed(messages[-1], error) from error
        except (HandlerFailed, *INFRASTRUCTURE):
            raise
        except Exception as error:
            if not committing or not messages:
                raise
            raise HandlerFailed(messages[-1], error) from error
        else:
            if calls:
                signals.completed(self._handler.name, calls, again=again)
        finally:
            self._transaction.messages = self._transaction.calls = None

    def wants(self, message_type: str) -> bool:
        """Whether the handler has a method for that type; otherwise the message costs it nothing."""
        return message_type in self._handler.methods

    def call(self, unit: UnitOfWork, message: Message) -> bool:
        """Call the method for the message, if there is one; whether there was. Raises HandlerFailed.

        `unit` is that of `unit_of_work`, or one of the caller's own, in which its effects are. Whatever the handler
        leaves in context variables, a priority in a generator it has not exhausted for one, is gone afterwards: it
        runs in a copy.
        """
        method = self._handler.methods.get(message.type)
        if method is None:
            return False
        if self._transaction.messages is not None:
            self._transaction.messages.append(message)
        copy_context().run(self._run, unit, method, message)
        return True

    def _run(self, unit: UnitOfWork, method: Method, message: Message) -> None:
        signals = self._domain.signals
        if signals.tracing:
            signals.started(self._handler.name, message)
        began = time.perf_counter()
        spanned = self._domain.telemetry.handling(self._handler.name, message)
        with spanned, caused_by(cause_of(message), message.priority), active(self._domain):
            underway.begin(self._handler.name, message.id)
            try:
                self._act(unit, method, message)
                crash.point("sub.mid_handler")
                unit.collect()
            except (*INFRASTRUCTURE, *CONFLICTS, KeyboardInterrupt):
                raise  # not the handler's doing
            except BaseException as error:  # a handler that exits or is cancelled has failed as well
                signals.failed(self._handler.name, message, time.perf_counter() - began, error)
                raise HandlerFailed(message, error) from error
            finally:
                underway.end()
        if self._transaction.calls is not None:
            self._transaction.calls.append((message, time.perf_counter() - began))

    def _act(self, unit: UnitOfWork, method: Method, message: Message) -> None:
        if self._handler.kind is ElementKind.SUBSCRIBER:
            called(method, self._handler.cls(), dict(message.data))
            return
        payload = payload_of(self._domain.registry, message)
        if self._processes is not None:
            self._processes.handle(unit, message, payload, called)
            return
        result = called(method, self._handler.cls(), payload)
        if message.kind is MessageKind.COMMAND:
            keep_result(self._domain, unit, message, result)


def called(method: Callable[..., Any], *arguments: Any) -> Any:
    """What a method returns; an `async def` one has ended when this does, and returns nothing."""
    result = method(*arguments)
    if inspect.iscoroutine(result):
        _finish(result)
        return None
    _refuse_generator(result)
    return result


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
