"""The databases and brokers of a configuration, opened when they are first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from protean.config import Config
from protean.config.providers import BROKER, DATABASE
from protean.deliver.doorbell import Ringer
from protean.domain.third_party import open_broker, open_database
from protean.exceptions import ConfigurationError
from protean.ports.broker import Broker
from protean.ports.database import Database, Sessions
from protean.ports.opening import BrokerOpening, DatabaseOpening
from protean.ports.rows import Table

#: Where embedded servers live, under the folder of the configuration.
HOME = ".protean"

C = TypeVar("C")


class Connections:
    """`config` is looked up when something is opened; `tables` are those of a database by its name, made at its
    opening where the configuration says so.

    `consumer` is what servers know this process by; `least` is how many connections to a database it may need.
    """

    def __init__(self, config: Callable[[], Config], consumer: str, tables: Callable[[str], list[Table]]) -> None:
        self.consumer = consumer
        self.least = 0
        self._config = config
        self._tables = tables
        self._lock = threading.RLock()
        self._databases: dict[str, Database] = {}
        self._brokers: dict[str, Broker] = {}
        self._ringer: Ringer | None = None

    def database(self, provider: str) -> Database:
        """The database of that name, opened at the first call."""
        opened = self._databases.get(provider)
        if opened is None:
            with self._lock:
                opened = self._databases.get(provider)
                if opened is None:
                    opened = self._databases[provider] = self._open(provider)
        return opened

    def sessions(self, provider: str) -> Sessions | None:
        """The view of that database's sessions, where it has any."""
        database = self.database(provider)
        if self._config().databases[provider].provider == "sqlite":  # the same adapter as PostgreSQL's, without them
            return None
        return database if isinstance(database, Sessions) else None

    def broker(self, name: str) -> Broker:
        """The broker of that name, opened at the first call."""
        with self._lock:
            if name not in self._brokers:
                config = _named(self._config().brokers, name, "brokers")
                self._brokers[name] = _open_broker(BrokerOpening(name=name, config=config, root=self._config().root))
            return self._brokers[name]

    def ring(self, bell: str) -> None:
        """Wake who listens to that bell; from a thread in the background, best effort."""
        ringer = self._ringer
        if ringer is None:
            with self._lock:
                ringer = self._ringer = self._ringer or Ringer(self.broker(self._config().outbox.broker))
        ringer.ring(bell)

    def close(self) -> None:
        """Close every connection. They are opened anew when asked for again."""
        with self._lock:
            if self._ringer is not None:
                self._ringer.close()
                self._ringer = None
            for broker in self._brokers.values():
                broker.close()
            for database in self._databases.values():
                database.close()
            self._brokers.clear()
            self._databases.clear()

    def _open(self, provider: str) -> Database:
        config = _named(self._config().databases, provider, "databases")
        database = _open_database(
            DatabaseOpening(
                name=provider,
                config=config,
                root=self._config().root,
                consumer=self.consumer,
                connections=max(config.pool_size, self.least),
            )
        )
        if self._config().creates_tables:
            database.setup(self._tables(provider))
        return database


def _named(configured: Mapping[str, C], name: str, section: str) -> C:
    if name not in configured:
        there = ", ".join(sorted(configured)) or "none"
        raise ConfigurationError(f"there is no [{section}.{name}] in the configuration; there is: {there}")
    return configured[name]


def _open_database(opening: DatabaseOpening) -> Database:
    config = opening.config
    if config.provider not in DATABASE.own:
        return open_database(opening)
    if config.provider == "memory":
        from protean.adapters.memory.database import MemoryDatabase  # noqa: PLC0415  # production has another

        return MemoryDatabase()
    uri = str(config.database_uri)
    if uri == "embedded":
        with _extra("embedded"):
            from protean.adapters import embedded  # noqa: PLC0415  # its drivers are an extra

            uri = embedded.postgresql(opening.root / HOME).uri
    with _extra(config.provider):
        from protean.adapters.sql.database import SqlDatabase  # noqa: PLC0415  # its drivers are an extra
        from protean.adapters.sql.engine import Timeouts  # noqa: PLC0415  # its drivers are an extra

        return SqlDatabase(
            uri,
            pool_size=opening.connections,
            application_name=opening.consumer,
            timeouts=Timeouts(
                connect=config.connect_timeout, pool=config.pool_timeout, statement=config.statement_timeout
            ),
        )


def _open_broker(opening: BrokerOpening) -> Broker:
    config = opening.config
    if config.provider not in BROKER.own:
        return open_broker(opening)
    if config.provider == "memory":
        from protean.adapters.memory.broker import MemoryBroker  # noqa: PLC0415  # production has another

        return MemoryBroker()
    uri = str(config.uri)
    if uri == "embedded":
        with _extra("embedded"):
            from protean.adapters import embedded  # noqa: PLC0415  # its drivers are an extra

            uri = embedded.valkey(opening.root / HOME).uri
    with _extra("redis"):
        from protean.adapters.redis.broker import RedisBroker  # noqa: PLC0415  # its drivers are an extra

        return RedisBroker(uri, prefix=config.stream_prefix)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Say which extra brings a driver that is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed; pip install 'protean[{name}]'") from error
