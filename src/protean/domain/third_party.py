"""Databases and brokers of other packages: found by the name of their entry point, imported when they are opened."""

from __future__ import annotations

from typing import Any, cast

from protean.config.installed import BROKERS, DATABASES, entry_point, package_of
from protean.exceptions import ConfigurationError
from protean.ports.broker import Broker
from protean.ports.database import Database
from protean.ports.opening import BrokerOpening, DatabaseOpening


def open_database(opening: DatabaseOpening) -> Database:
    """Raises ConfigurationError when the package cannot be imported, or gives something that is no database."""
    return cast("Database", _opened(opening, opening.config.provider, DATABASES, Database))


def open_broker(opening: BrokerOpening) -> Broker:
    """Raises ConfigurationError when the package cannot be imported, or gives something that is no broker."""
    return cast("Broker", _opened(opening, opening.config.provider, BROKERS, Broker))


def _opened(opening: object, provider: str, group: str, port: type) -> Any:
    point = entry_point(provider, group)
    whose = f'provider "{provider}" of {package_of(point)}'
    try:
        opens = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{whose} cannot be imported from {point.value}: {error}") from error
    if not callable(opens):
        raise ConfigurationError(
            f"{whose}: {point.value} is {opens!r:.80}, not a function that opens a {port.__name__}"
        )
    opened = opens(opening)
    if lacking := [name for name in _members(port) if not hasattr(opened, name)]:
        raise ConfigurationError(
            f"{whose} is no {port.__name__} as this release of protean knows it: {opened!r:.80} lacks "
            f"{', '.join(lacking)}; install a release of the package that goes with it"
        )
    return opened


def _members(port: type) -> list[str]:
    """The names that a protocol asks for, those of its parts included."""
    return sorted({name for part in port.__mro__[:-1] for name in vars(part) if not name.startswith("_")})
