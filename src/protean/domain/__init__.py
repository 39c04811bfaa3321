"""The composition root: what a user declares, the configuration, and the adapters that serve both."""

from protean.domain.composition import Domain
from protean.domain.connections import HOME, embedded_servers, stop_embedded_servers

__all__ = ["HOME", "Domain", "embedded_servers", "stop_embedded_servers"]
