"""A domain of one test's own: in memory, empty, and as it was before afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from protean.config import BrokerConfig, Config, DatabaseConfig
from protean.domain import Domain


@contextmanager
def in_memory(
    domain: Domain, event_processing: Literal["sync", "async"] | None = None, **values: Any
) -> Iterator[Domain]:
    """Inside the block, `domain` has empty databases and brokers in memory, whatever its configuration names.

    It is the active domain there, with `values` in `g`; what is declared inside, a handler that only one test needs for
    one, is gone afterwards. Everything else is as configured: lanes, retries, and whether handlers run at commit or
    when a server, here `drain`, gets to it. `event_processing` says that otherwise.
    """
    with domain.isolated(_in_memory(domain.config, event_processing)), domain.domain_context(**values):
        yield domain


def _in_memory(config: Config, event_processing: Literal["sync", "async"] | None) -> Config:
    processing = event_processing or config.event_processing
    brokers = {name: BrokerConfig(stream_prefix=broker.stream_prefix) for name, broker in config.brokers.items()}
    if processing == "async":
        brokers.setdefault(config.outbox.broker, BrokerConfig())
    return config.model_copy(
        update={
            "databases": {name: DatabaseConfig() for name in config.databases},
            "brokers": brokers,
            "event_processing": processing,
            "create_tables": True,  # also where PROTEAN_ENV is `production`
        }
    )
