"""Repositories with queries of their own."""

from __future__ import annotations

from typing import Any

from protean.elements.element import ElementKind, info_of
from protean.elements.registry import Registry
from protean.exceptions import ConfigurationError
from protean.write.context import ActiveDomain
from protean.write.repository import Repository


def check_repositories(registry: Registry) -> None:
    """Raise ConfigurationError for a class that was declared as a repository and is none."""
    for cls in registry.elements.values():
        info = info_of(cls)
        if info.kind is ElementKind.REPOSITORY and not issubclass(cls, Repository):
            owner = info.part_of if isinstance(info.part_of, str) else getattr(info.part_of, "__name__", "…")
            raise ConfigurationError(
                f"{info} does not inherit from Repository; write class {cls.__name__}(Repository[{owner}]), with "
                "`from protean import Repository`"
            )


def made_repository(domain: ActiveDomain, element: type[Any]) -> Repository[Any]:
    """The repository of an aggregate or projection; or, given its class, that of what this one is of."""
    registry = domain.registry
    if issubclass(element, Repository):
        owner = registry.owner_of(element)
        if owner is None:
            raise ConfigurationError(f"{element.__name__} is not the repository of anything in this domain")
        return element(domain, owner)
    cls = registry.repository_class(element) or Repository
    repository: Repository[Any] = cls(domain, element)
    return repository
