"""Use cases of application services: each call is one unit of work."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from protean.elements.services import USE_CASE
from protean.exceptions import ConfigurationError
from protean.write.conflicts import repeating
from protean.write.context import active_domain
from protean.write.unit_of_work import UnitOfWork, current_unit_of_work

P = ParamSpec("P")
R = TypeVar("R")


def use_case(method: Callable[P, R]) -> Callable[P, R]:
    """Have every call of a method of an application service be one transaction: all of it is saved, or nothing.

    Inside a unit of work it takes part in that one. On its own it is repeated a few times, like a command, when another
    transaction changed the same aggregate first. The call raises InvalidOperationError where no domain is active.
    """
    name = getattr(method, "__qualname__", repr(method))
    if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        raise ConfigurationError(f"@use_case: {name} must be plain code: its transaction ends when it returns")

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        domain = active_domain()

        def once() -> R:
            with UnitOfWork(domain):
                return method(*args, **kwargs)

        return once() if current_unit_of_work(domain) else repeating(once)

    setattr(call, USE_CASE, True)
    return call
