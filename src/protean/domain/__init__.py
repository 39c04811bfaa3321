"""The composition root: what a user declares, the configuration, and the adapters that serve both."""

from protean.domain.composition import Domain

__all__ = ["Domain"]
