"""What a domain is configured with: one typed schema, one strict loader."""

from protean.config.loader import load
from protean.config.schema import (
    BrokerConfig,
    Config,
    DatabaseConfig,
    OutboxConfig,
    PriorityLanesConfig,
    RetryConfig,
    ServerConfig,
)
from protean.config.uri import masked

__all__ = [
    "BrokerConfig",
    "Config",
    "DatabaseConfig",
    "OutboxConfig",
    "PriorityLanesConfig",
    "RetryConfig",
    "ServerConfig",
    "load",
    "masked",
]
