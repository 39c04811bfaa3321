"""What surrounds running code: the active domain, `g`, and the message that caused the work.

Contextvars do not cross into threads that user code starts; a copied context carries them on purpose
(`contextvars.copy_context().run(...)`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Protocol

from protean.clock import utc_now
from protean.elements.registry import Registry
from protean.exceptions import InvalidOperationError
from protean.message import Message, NewMessage
from protean.ports.database import Database
from protean.ports.signals import Signals
from protean.ports.telemetry import Telemetry
from protean.priority import processing_priority


class ActiveDomain(Protocol):
    """What code running inside a domain can ask of it."""

    name: str

    @property
    def registry(self) -> Registry: ...

    @property
    def signals(self) -> Signals:
        """Where handlers' transactions say what they have done."""
        ...

    @property
    def telemetry(self) -> Telemetry:
        """The application's own tracing."""
        ...

    @property
    def propagated(self) -> tuple[str, ...]:
        """The names in `g` that travel with messages and are in `g` again where these are handled."""
        ...

    def database(self, provider: str) -> Database:
        """The database of that name in the configuration."""
        ...

    @property
    def snapshot_threshold(self) -> int:
        """Events of one event-sourced aggregate from one snapshot to the next; 0: none are taken."""
        ...

    @property
    def outbox_broker(self) -> str | None:
        """Which broker committed messages are meant for; None when handlers run inline."""
        ...

    @property
    def external_brokers(self) -> tuple[str, ...]:
        """The brokers beyond the domain that published events are meant for."""
        ...

    def committed(self, provider: str, messages: list[NewMessage]) -> None:
        """Told after messages were committed. Must not raise: the commit stands."""
        ...

    def repository_for(self, element: type[Any]) -> Any: ...

    def view_for(self, projection: type[Any]) -> Any: ...

    def dispatch(self, query: Any) -> Any: ...

    def process(
        self,
        command: Any,
        *,
        priority: int | None = None,
        asynchronous: bool | None = None,
        correlation_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Any: ...


@dataclass(frozen=True, slots=True)
class Cause:
    """The message being handled: what it causes refers to it and inherits its priority and headers.

    Events name the message itself as their cause; those of a command that is processed while another message is
    handled name that one, `origin_id`: such a command is a part of the handling, and in no log.
    `causation_id` is what caused the message itself, `time` when it was written, or the command processed.
    `message` is the one from the log; None for a command that is processed where it is sent.
    """

    message_id: str
    correlation_id: str
    headers: Mapping[str, Any] = field(default_factory=dict)
    origin_id: str | None = None
    causation_id: str | None = None
    type: str = ""
    time: datetime = field(default_factory=utc_now)
    message: Message | None = None

    @property
    def origin(self) -> str:
        """What events name as their cause."""
        return self.origin_id or self.message_id


_domain: ContextVar[ActiveDomain | None] = ContextVar("protean_domain", default=None)
_globals: ContextVar[SimpleNamespace | None] = ContextVar("protean_g", default=None)
_cause: ContextVar[Cause | None] = ContextVar("protean_cause", default=None)
_correlation: ContextVar[str | None] = ContextVar("protean_correlation", default=None)


@contextmanager
def active(domain: ActiveDomain, values: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Make `domain` the current one inside the block, with a `g` of its own holding `values`.

    While a message is handled, `g` also holds what that one has carried along, unless `values` say otherwise.
    """
    carried: dict[str, Any] = {}
    if domain.propagated and (cause := _cause.get()) is not None:
        carried = {name: deepcopy(cause.headers[name]) for name in domain.propagated if name in cause.headers}
    domain_token = _domain.set(domain)
    globals_token = _globals.set(SimpleNamespace(**{**carried, **(values or {})}))
    try:
        yield
    finally:
        with suppress(ValueError):  # entered in another context, a generator's for one: here it is not in force
            _globals.reset(globals_token)
            _domain.reset(domain_token)


@contextmanager
def caused_by(cause: Cause, priority: int) -> Iterator[None]:
    """What is processed inside the block was caused by that message and has its priority."""
    token = _cause.set(cause)
    try:
        with processing_priority(priority):
            yield
    finally:
        with suppress(ValueError):  # as above
            _cause.reset(token)


@contextmanager
def correlated(correlation_id: str) -> Iterator[None]:
    """What begins inside the block has that correlation id: 1 to 255 characters, those of a request or a job.

    A message being handled has its own, and passes that on.
    """
    token = _correlation.set(correlation_id)
    try:
        yield
    finally:
        with suppress(ValueError):  # as above
            _correlation.reset(token)


def current_correlation_id() -> str | None:
    """That of the message being handled here, else of the request or job around; None outside of all."""
    cause = _cause.get()
    return _correlation.get() if cause is None else cause.correlation_id


def active_domain() -> ActiveDomain:
    """The domain of the surrounding `domain.domain_context()`. Raises InvalidOperationError outside one."""
    domain = _domain.get()
    if domain is None:
        raise InvalidOperationError("no domain is active here; wrap the code in `with domain.domain_context():`")
    return domain


def is_active(domain: ActiveDomain) -> bool:
    return _domain.get() is domain


def current_cause() -> Cause | None:
    """The message being handled here, if one is."""
    return _cause.get()


class CurrentDomain:
    """Stands for the active domain; each attribute is looked up there."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(active_domain(), name)

    def __repr__(self) -> str:
        domain = _domain.get()
        return f"<current_domain: {domain.name if domain else 'none active'}>"


class _Globals:
    """Stands for the namespace of the active domain context: `g.tenant_id = ...`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(_namespace(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_namespace(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_namespace(), name)

    def __contains__(self, name: str) -> bool:
        return hasattr(_namespace(), name)

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(_namespace(), name, default)


def _namespace() -> SimpleNamespace:
    namespace = _globals.get()
    if namespace is None:
        raise InvalidOperationError("`g` lives in a domain context; wrap the code in `with domain.domain_context():`")
    return namespace


g = _Globals()
