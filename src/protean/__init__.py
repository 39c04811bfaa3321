"""Domain-driven, event-driven applications whose data migrations never block production."""

from protean.domain import Domain
from protean.elements.aggregate import Aggregate
from protean.elements.command import Command
from protean.elements.event import Event
from protean.elements.handlers import handle, on  # after `domain`, whose imports bind the package `handle` here
from protean.elements.projection import Projection
from protean.write.context import current_domain, g
from protean.write.query import Q
from protean.write.unit_of_work import UnitOfWork

__all__ = [
    "Aggregate",
    "Command",
    "Domain",
    "Event",
    "Projection",
    "Q",
    "UnitOfWork",
    "current_domain",
    "g",
    "handle",
    "on",
]
