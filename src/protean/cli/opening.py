"""From the `--domain` of a command line to a domain that can be asked."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from protean.config.loader import NAMES, PARENTS
from protean.domain import Domain
from protean.exceptions import ConfigurationError, ProteanError
from protean.server.asking import providers_of
from protean.server.loading import load_domain


@contextmanager
def opened(path: str) -> Iterator[Domain]:
    """The domain at `path`, initialised; its connections are closed at the end of the block.

    Raises ConfigurationError, also when a module of the application cannot be imported.
    """
    try:
        domain = load_domain(path)
        domain.init()
    except ProteanError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"--domain={path} cannot be imported: {type(error).__name__}: {error} ({_where(error)})"
        ) from error
    try:
        yield domain
    finally:
        domain.close()


def require_servers(domain: Domain) -> None:
    """Raise ConfigurationError unless other processes can see what this domain commits and publishes."""
    require_durable(domain)
    if domain.outbox_broker is None:
        raise ConfigurationError(
            "this domain handles events inline, right after commit, and has no lanes; name a broker in "
            f'[brokers.default] of domain.toml, for instance uri = "embedded"{_where_looked(domain)}'
        )


def require_durable(domain: Domain) -> None:
    """Raise ConfigurationError unless other processes can see what this domain commits."""
    in_memory = [name for name in providers_of(domain) if domain.config.databases[name].provider == "memory"]
    if in_memory:
        raise ConfigurationError(
            f"the database {in_memory[0]!r} is in memory, which no other process sees; set database_uri in "
            f'[databases.{in_memory[0]}] of domain.toml, for instance to "embedded"{_where_looked(domain)}'
        )


def _where_looked(domain: Domain) -> str:
    """Where no configuration was found; nothing if there was one, or if the code itself has it."""
    if domain.config.source is not None or domain.config.model_fields_set:
        return ""
    return f". No {' or '.join(NAMES[:2])} was found in {domain.config.root} or the {PARENTS} folders above it"


def _where(error: BaseException) -> str:
    """The place in the application that raised."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}, line {frame.lineno}"
