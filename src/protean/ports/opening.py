"""How an adapter that another package brings is opened: one function, named by an entry point."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from protean.config import BrokerConfig, DatabaseConfig
from protean.ports.broker import Broker
from protean.ports.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOpening:
    """What a database is opened with.

    `name` and `config` are those of its section, `[databases.<name>]`; relative paths start from `root`. `consumer` is
    what the server should know this process by (see `protean.ports.database.Sessions`), `connections` how many of
    them its threads can hold at the same time.
    """

    name: str
    config: DatabaseConfig
    root: Path
    consumer: str
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOpening:
    """What a broker is opened with: `name` and `config` of its section, and the folder of the configuration."""

    name: str
    config: BrokerConfig
    root: Path


class OpensDatabase(Protocol):
    """What an entry point in `protean.databases` names. It connects when it is first used, not here."""

    def __call__(self, opening: DatabaseOpening, /) -> Database: ...


class OpensBroker(Protocol):
    """What an entry point in `protean.brokers` names. It connects when it is first used, not here."""

    def __call__(self, opening: BrokerOpening, /) -> Broker: ...
