"""Process managers: state that follows a business process over several aggregates, from its first event to its last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any, Final, TypeVar

from protean.clock import utc_now
from protean.elements.element import StatefulElement
from protean.elements.typed import Changing
from protean.exceptions import ConfigurationError, InvalidOperationError
from protean.suggestion import did_you_mean

F = TypeVar("F", bound=Callable[..., Any])

#: The field that says since when a process is over; None while it goes on.
COMPLETED_AT: Final = "completed_at"

_MARK: Final = "__protean_timeouts__"
_WISHES: Final = "_timeouts"


def handle_timeout(name: str) -> Callable[[F], F]:
    """Mark a method of a process manager as what is done when the timeout of that name is due."""
    given: object = name
    if not isinstance(given, str) or not 0 < len(given) <= 255:
        raise ConfigurationError(f"@handle_timeout takes the timeout's name, a text, not {name!r:.80}")

    def mark(function: F) -> F:
        setattr(function, _MARK, (name, *getattr(function, _MARK, ())))
        return function

    return mark


class ProcessManager(Changing):
    """What every class decorated with `@domain.process_manager` is; as a base, for type checkers only."""

    @property
    def is_complete(self) -> bool:
        """Whether the process is over: what concerns it later is ignored."""
        return getattr(self, COMPLETED_AT) is not None

    def mark_as_complete(self) -> None:
        """End the process: its timeouts are cancelled, and no event or timeout reaches it any more."""
        if not self.is_complete:
            setattr(self, COMPLETED_AT, utc_now())

    def timeout_in(self, delay: timedelta, name: str) -> None:
        """Call the method marked with `@handle_timeout(name)` after that time, unless the process is over by then.

        One that was set under the same name before is replaced. Raises InvalidOperationError outside of a handler.
        """
        given: object = delay
        if not isinstance(given, timedelta) or given < timedelta(0):
            raise InvalidOperationError(f"timeout_in takes a timedelta from 0 on, not {delay!r:.80}")
        self.timeout_at(utc_now() + delay, name)

    def timeout_at(self, moment: datetime, name: str) -> None:
        """The same at a moment, which must have a time zone."""
        given: object = moment
        if not isinstance(given, datetime) or given.tzinfo is None:
            raise InvalidOperationError(f"timeout_at takes a datetime with a time zone, not {moment!r:.80}")
        _wishes(self)[_known(self, name)] = moment

    def cancel_timeout(self, name: str) -> None:
        """Forget the timeout of that name, if there is one."""
        _wishes(self)[_known(self, name)] = None


class ProcessManagerElement(ProcessManager, StatefulElement):
    """A process manager with pydantic under it."""


@cache
def timeouts_of(cls: type) -> Mapping[str, Callable[[Any], Any]]:
    """The methods of a process manager by the timeouts that they handle."""
    functions: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        functions.update(vars(base))
    return MappingProxyType(
        {name: function for function in functions.values() for name in getattr(function, _MARK, ())}
    )


def open_wishes(process: ProcessManagerElement) -> dict[str, datetime | None]:
    """Let the process set timeouts from here on, into what this returns: name to moment, or to None to cancel it."""
    wishes: dict[str, datetime | None] = {}
    (process.__pydantic_private__ or {})[_WISHES] = wishes
    return wishes


def close_wishes(process: ProcessManagerElement) -> None:
    """The handler has ended: what it would wish for now nobody would see."""
    (process.__pydantic_private__ or {}).pop(_WISHES, None)


def _wishes(process: ProcessManager) -> dict[str, datetime | None]:
    wishes: dict[str, datetime | None] | None = process.__pydantic_private__.get(_WISHES)  # type: ignore[attr-defined]  # compiled ones have it
    if wishes is None:
        raise InvalidOperationError(
            f"a {type(process).__name__} sets timeouts while it handles an event or a timeout, which save them; "
            "nothing would here"
        )
    return wishes


def _known(process: ProcessManager, name: str) -> str:
    cls: type = type(process)
    known = timeouts_of(cls)
    if name not in known:
        raise InvalidOperationError(
            f"{type(process).__name__} has no method for the timeout {name!r:.80}{did_you_mean(str(name), known)}; "
            f"mark one with @handle_timeout({name!r:.80})"
        )
    return name
