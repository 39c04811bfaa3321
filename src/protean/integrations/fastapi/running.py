"""Commands and queries from code on an event loop, without holding that up."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from protean.elements.payload import PayloadElement
from protean.exceptions import InvalidOperationError
from protean.integrations.fastapi.threads import Threads
from protean.write.context import active_domain
from protean.write.unit_of_work import current_unit_of_work

P = ParamSpec("P")
R = TypeVar("R")

_threads: ContextVar[Threads | None] = ContextVar("protean_threads", default=None)


async def process(
    command: Any,
    *,
    priority: int | None = None,
    asynchronous: bool | None = None,
    correlation_id: str | None = None,
    idempotency_key: str | None = None,
) -> Any:
    """`current_domain.process`, on a thread; see `run_in_domain` and `Domain.process`."""
    return await run_in_domain(
        _process,
        command,
        priority=priority,
        asynchronous=asynchronous,
        correlation_id=correlation_id,
        idempotency_key=idempotency_key,
    )


async def dispatch(query: Any) -> Any:
    """`current_domain.dispatch`, on a thread; see `run_in_domain`."""
    return await run_in_domain(_dispatch, query)


async def run_in_domain(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """What `function` returns, called on a thread with the domain, `g`, priority and correlation of here.

    Raises what it raises, and OverloadedError when too many calls wait for a thread already. A call that has begun is
    finished, also when who waits for it is cancelled; one that still waits for a thread then never begins.
    """
    threads = _threads.get()
    if threads is None:
        raise InvalidOperationError(
            "no application with a domain is around this code: app.add_middleware(DomainContextMiddleware, "
            "domain=…) gives it one; elsewhere call the domain's own methods"
        )
    if current_unit_of_work(active_domain()) is not None:
        raise InvalidOperationError(
            "a unit of work is one thread's, and this would take it to another: begin it in a plain function, and "
            "run that with `await run_in_domain(function)`"
        )
    result = await threads.run(function, *args, **kwargs)
    if inspect.iscoroutine(result):
        result.close()
        name = getattr(function, "__qualname__", repr(function))
        raise InvalidOperationError(f"{name} returned a coroutine, and nothing of it has run; await it where you are")
    return result


@contextmanager
def served_by(threads: Threads) -> Iterator[None]:
    """Run on those threads what is awaited inside the block."""
    token = _threads.set(threads)
    try:
        yield
    finally:
        _threads.reset(token)


def _process(command: PayloadElement, **options: Any) -> Any:
    return active_domain().process(command, **options)


def _dispatch(query: object) -> Any:
    return active_domain().dispatch(query)
