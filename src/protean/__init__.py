"""Domain-driven, event-driven applications whose data migrations never block production."""

from protean.domain import Domain
from protean.elements.handlers import handle, on
from protean.write.context import current_domain, g
from protean.write.query import Q
from protean.write.unit_of_work import UnitOfWork

__all__ = ["Domain", "Q", "UnitOfWork", "current_domain", "g", "handle", "on"]
