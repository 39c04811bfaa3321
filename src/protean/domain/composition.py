"""The composition root: what a user declares, the configuration, and the adapters that serve both."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, overload

from protean.config import Config, load
from protean.deliver.doorbell import bell_name
from protean.deliver.inline import InlineDelivery
from protean.deliver.lanes import Lanes
from protean.deliver.publishing import PUBLISHED, PublishingRelay
from protean.domain.bulk import Bulk
from protean.domain.connections import Connections
from protean.domain.histories import Histories
from protean.domain.publishing import publish_inline, publishing_relay
from protean.domain.reacting import Reacting
from protean.domain.reading import ReadingMethods
from protean.domain.repositories import check_repositories, made_repository
from protean.elements.declarations import Declarations
from protean.elements.element import info_of
from protean.elements.numbering import count_with
from protean.elements.payload import PayloadElement
from protean.elements.query import QueryElement
from protean.elements.registry import Registry
from protean.exceptions import ConfigurationError
from protean.handle.retry import RetryPolicy
from protean.message import NewMessage
from protean.ports.broker import Broker
from protean.ports.database import Database, Sessions
from protean.ports.handling import Execute
from protean.ports.rows import Table
from protean.ports.signals import SILENCE, Signals
from protean.ports.telemetry import UNTRACED, Telemetry
from protean.write.asynchronous import accept
from protean.write.commands import process
from protean.write.context import active
from protean.write.headers import checked_names
from protean.write.numbering import next_number
from protean.write.publishing import published_among
from protean.write.repository import Repository
from protean.write.storages import tables_kept

S = TypeVar("S")
R = TypeVar("R", bound=Repository[Any])

count_with(next_number)


class Domain(Declarations, Bulk, Reacting, ReadingMethods, Histories):
    """A bounded context: its elements, its configuration, its databases and brokers.

    Without a configuration everything is in memory and handlers run right after commit. With a `domain.toml`
    in the folder of the module that makes it, or up to two folders above, the same code is durable and
    asynchronous. `config`, a mapping of the same shape, takes the place of the file.
    """

    def __init__(
        self, name: str, *, root_path: str | Path | None = None, config: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(Registry())
        caller = sys._getframe(1).f_globals  # noqa: SLF001  # the only way to learn which module makes a domain
        self._package: str = caller.get("__package__") or ""
        self.name = name
        root = _folder(root_path, caller)
        self.consumer = f"protean.{name}"[:63]
        self._use(load(root) if config is None else Config.from_mapping(config, root=root))

    def _use(self, config: Config) -> None:
        """Work with that configuration, and open connections of its own when they are asked for."""
        self.config = config
        self.lanes = _lanes(config)
        self._propagated = checked_names(config.context.propagate)
        self._connections = Connections(
            lambda: self.config, self.consumer, lambda provider: self.tables.get(provider, [])
        )
        #: Where handlers' transactions say what they have done; a server's process listens.
        self.signals: Signals = SILENCE
        #: The application's own tracing, if it has imported OpenTelemetry by the time of `init`.
        self.telemetry: Telemetry = UNTRACED
        self._executors: dict[str, list[Execute]] = {}
        self._inline = InlineDelivery(self._inline_executors, self.database, self._retry_inline)

    @contextmanager
    def isolated(self, config: Config) -> Iterator[None]:
        """Be, inside the block, as if made with that configuration; what is declared inside is gone afterwards.

        For tests: see `protean.testing.in_memory`. For the whole process, and for one block at a time.
        """
        before = dict(vars(self))
        self.registry = self.registry.copy()
        self._use(config)
        try:
            yield
        finally:
            self._connections.close()
            vars(self).update(before)

    def init(self) -> None:
        """Find the elements in the modules beside this domain's, and check how everything fits together.

        Raises ConfigurationError listing every problem.
        """
        if self._package:
            _import_all(self._package)
        self.registry.compile()
        check_repositories(self.registry)
        self._executors.clear()
        if "opentelemetry.trace" in sys.modules:
            from protean.adapters.opentelemetry import OpenTelemetry  # noqa: PLC0415  # nobody else has it installed

            self.telemetry = OpenTelemetry()

    @contextmanager
    def domain_context(self, **values: Any) -> Iterator[None]:
        """Make this the current domain inside the block; `values` become attributes of `g`."""
        with active(self, values):
            yield

    @overload
    def repository_for(self, element: type[R]) -> R: ...
    @overload
    def repository_for(self, element: type[S]) -> Repository[S]: ...
    def repository_for(self, element: type[Any]) -> Any:
        """The repository of an aggregate or projection: its own class if one was declared.

        Given that class itself, the result has its type: `domain.repository_for(Customers).vips()`.
        """
        info_of(element)
        return made_repository(self, element)

    def process(
        self,
        command: Any,
        *,
        priority: int | None = None,
        asynchronous: bool | None = None,
        correlation_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """Handle a command in one transaction and return what its handler returns.

        `asynchronous`: write it down for a server to handle, and return the id that `result_of` takes; without it, as
        `command_processing` of the configuration says. Priority is the argument, else that of the surrounding
        `processing_priority`, else NORMAL.

        With an `idempotency_key` (1 to 255 characters) the command is carried out once, however often it is sent:
        later calls return the first one's result. Raises DuplicateCommandError when the key was used for another
        command, InvalidOperationError when JSON cannot hold the result.
        """
        if not isinstance(command, PayloadElement):
            raise ConfigurationError(f"process() takes a command of this domain, not {command!r:.80}")
        if isinstance(command, QueryElement):
            raise ConfigurationError(f"{type(command).__name__} is a query; ask it with dispatch()")
        later = self.config.command_processing == "async" if asynchronous is None else asynchronous
        carry_out = accept if later else process
        with self.telemetry.processing(self.name, type(command).__name__):
            return carry_out(
                self, command, priority=priority, correlation_id=correlation_id, idempotency_key=idempotency_key
            )

    @property
    def tables(self) -> dict[str, list[Table]]:
        """The tables of all aggregates, projections and process managers, by the name of their database."""
        tables: dict[str, list[Table]] = {name: [] for name in self.config.databases}
        for element in (*self.registry.aggregates, *self.registry.projections, *self.registry.processes):
            kept = tables.setdefault(element.__protean__.provider, [])
            kept += [table for table in tables_kept(element) if table not in kept]
        return tables

    def database(self, provider: str = "default") -> Database:
        """The database of that name in the configuration, opened at the first call."""
        return self._connections.database(provider)

    def sessions(self, provider: str) -> Sessions | None:
        """The view of that database's sessions, where it has any."""
        return self._connections.sessions(provider)

    def broker(self, name: str | None = None) -> Broker:
        """The broker of that name in the configuration, by default the outbox's, opened at the first call."""
        return self._connections.broker(name or self.config.outbox.broker)

    @property
    def propagated(self) -> tuple[str, ...]:
        return self._propagated

    @property
    def snapshot_threshold(self) -> int:
        return self.config.event_store.snapshot_threshold

    @property
    def outbox_broker(self) -> str | None:
        return self.config.outbox.broker if self.config.event_processing == "async" else None

    @property
    def external_brokers(self) -> tuple[str, ...]:
        return tuple(self.config.outbox.external_brokers)

    def publishing_relay(self, provider: str, broker: str) -> PublishingRelay:
        """What publishes the events of that database to one of the external brokers."""
        publications = self.database(provider).publications
        return publishing_relay(self.name, self.config, publications, self.broker(broker), broker)

    @property
    def retry_policy(self) -> RetryPolicy:
        retry = self.config.server.retry
        return RetryPolicy(retry.max_retries, retry.base_delay, retry.max_delay, retry.jitter)

    def provider_of(self, category: str) -> str:
        """The database that holds the history of a category."""
        return self.registry.provider_of(category)

    def serve_as(self, consumer: str, connections: int) -> None:
        """Open databases under the name of that consumer, with room for so many connections."""
        self.consumer = self._connections.consumer = consumer
        self._connections.least = connections

    def ring(self, bell: str) -> None:
        """Wake who listens to that bell, from a thread in the background, best effort."""
        self._connections.ring(bell)

    def committed(self, provider: str, messages: list[NewMessage]) -> None:
        """Wake the relays of what was committed, or, without a broker, run the handlers."""
        published = bool(published_among(self, messages))
        if self.outbox_broker is None:
            self._inline.deliver(provider, messages)
            for broker in self.external_brokers if published else ():
                publish_inline(self.publishing_relay(provider, broker), broker)
            return
        for lane in {self.lanes.lane_of(message.priority) for message in messages}:
            self._connections.ring(bell_name(provider, lane))
        if published:
            self._connections.ring(bell_name(provider, PUBLISHED))

    def close(self) -> None:
        """Close every connection. The domain opens them anew when it is used again."""
        self._connections.close()

    def retry_failures(self) -> int:
        """Have handlers try again what has failed and is due; how many attempts it were.

        A server does this by itself. It is for where there is none: handlers that run right after commit are else
        tried again only when something more is committed.
        """
        kept = (*self.registry.aggregates, *self.registry.processes)
        return sum(map(self._retry_inline, sorted({each.__protean__.provider for each in kept})))

    def _retry_inline(self, provider: str) -> int:
        """Try again what is due, without an engine; a dead letter has no stream to go to."""
        from protean.handle.executor import Executor  # noqa: PLC0415  # where there is a broker, only servers have them
        from protean.handle.retrier import Retrier  # noqa: PLC0415  # as above

        executors = {
            handler.name: Executor(self, handler, provider, self.retry_policy) for handler in self.registry.consumers
        }
        retrier = Retrier(self.database(provider), None, executors, lambda _failure: None)
        tried = 0
        while retrier.retry_next(threading.Event()):
            tried += 1
        return tried

    def _inline_executors(self, category: str) -> list[Execute]:
        executors = self._executors.get(category)
        if executors is None:
            from protean.handle.executor import Executor  # noqa: PLC0415  # as above

            executors = self._executors[category] = [
                Executor(self, handler, self.provider_of(category), self.retry_policy).execute
                for handler in self.registry.handlers_of(category)
            ]
        return executors


def _folder(root_path: str | Path | None, caller: Mapping[str, Any]) -> Path:
    if root_path is not None:
        path = Path(root_path).resolve()
        return path.parent if path.is_file() else path
    file = caller.get("__file__")
    return Path(file).resolve().parent if file else Path.cwd()


def _import_all(package: str) -> None:
    """Import every module of the package, so that every decorator in it has run."""
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(module.__path__, f"{package}."):
        if found.name.rpartition(".")[2] != "__main__":
            importlib.import_module(found.name)


def _lanes(config: Config) -> Lanes:
    lanes = config.server.priority_lanes
    broker = config.brokers.get(config.outbox.broker)
    return Lanes(lanes.enabled, lanes.threshold, lanes.backfill_suffix, broker.stream_prefix if broker else "")
