"""Blocking work beside an event loop: on so many threads, with so many calls waiting, and to its end once begun."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar, cast

import anyio

from protean.exceptions import ConfigurationError, OverloadedError, ProteanError

P = ParamSpec("P")
R = TypeVar("R")
Outcome = tuple[object, BaseException | None]


class Threads:
    """At most `most` threads, begun when they are needed; at most `most_waiting` calls wait for one.

    Belongs to no event loop in particular.
    """

    def __init__(self, most: int, most_waiting: int) -> None:
        if most < 1:
            raise ConfigurationError(f"threads={most}: at least 1 is needed to process anything")
        if most_waiting < 0:
            raise ConfigurationError(f"most_waiting={most_waiting}: 0 refuses whatever cannot begin at once; no less")
        self._most = most
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._in_hand: set[Future[Outcome]] = set()

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `function` returns, called on one of the threads in a copy of the context here. Raises what it raises.

        Cancelled while it waits for a thread, it never begins. Once begun it is finished, and only then does the
        cancellation go on: a thread cannot be stopped, and one that nobody waits for would outlive its request, its
        place and the application's end. Raises OverloadedError when too many wait already.
        """
        begun = self._submit(partial(copy_context().run, function, *args, **kwargs))
        outcome = asyncio.wrap_future(begun)
        try:
            result, error = await asyncio.shield(outcome)
        except asyncio.CancelledError:
            if not begun.cancel():
                await _ended(outcome)
            raise
        if error is None:
            return cast("R", result)
        try:
            if not isinstance(error, Exception):  # the event loop would take it for its own, or this task's, end
                raise ProteanError(f"{type(error).__name__} was raised on a thread, where it ends nothing") from error
            raise error
        finally:
            del error  # with its traceback it refers to this frame

    async def close(self) -> None:
        """Wait for what is in hand, and let the threads end. Used again, it begins new ones."""
        with self._lock:
            executor, self._executor = self._executor, None
            in_hand = list(self._in_hand)
        if executor is not None:
            executor.shutdown(wait=False)
            if in_hand:
                await asyncio.wait([asyncio.wrap_future(each) for each in in_hand])

    def _submit(self, call: Callable[[], object]) -> Future[Outcome]:
        with self._lock:
            if len(self._in_hand) >= self._most + self._most_waiting:
                raise OverloadedError(
                    f"{self._most} calls are at work and {self._most_waiting} wait for a thread; the next ones are "
                    "refused until some of them are done"
                )
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._most, thread_name_prefix="protean")
            future = self._executor.submit(_outcome, call)
            self._in_hand.add(future)
        future.add_done_callback(self._in_hand.discard)
        return future


def _outcome(call: Callable[[], object]) -> Outcome:
    """As a value: some exceptions mean something else to futures, and a few would never arrive."""
    try:
        return call(), None
    except BaseException as error:  # noqa: BLE001  # raised again where the call was made
        return None, error


async def _ended(outcome: asyncio.Future[Outcome]) -> None:
    """Wait for it however often this task is cancelled meanwhile."""
    with anyio.CancelScope(shield=True):  # which would cancel again and again, without a pause
        while not outcome.done():
            try:
                await asyncio.wait([outcome])
            except asyncio.CancelledError:
                continue  # the first one is on its way already
