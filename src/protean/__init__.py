"""Domain-driven, event-driven applications whose data migrations never block production."""

from protean.domain import Domain
from protean.domain.current import current_domain
from protean.elements.aggregate import Aggregate
from protean.elements.applying import apply
from protean.elements.command import Command
from protean.elements.entity import Entity
from protean.elements.event import Event
from protean.elements.guarding import atomic_change
from protean.elements.handlers import handle, on, read  # after `domain`, whose imports bind the package `handle` here
from protean.elements.indexes import Index
from protean.elements.invariants import invariant
from protean.elements.process_manager import ProcessManager, handle_timeout
from protean.elements.projection import Projection
from protean.elements.query import Query
from protean.elements.stored import Column
from protean.elements.value_object import Value
from protean.write.context import g
from protean.write.current import CurrentMessage, current_message
from protean.write.query import Q
from protean.write.repository import Repository
from protean.write.unit_of_work import UnitOfWork
from protean.write.use_cases import use_case

__all__ = [
    "Aggregate",
    "Column",
    "Command",
    "CurrentMessage",
    "Domain",
    "Entity",
    "Event",
    "Index",
    "ProcessManager",
    "Projection",
    "Q",
    "Query",
    "Repository",
    "UnitOfWork",
    "Value",
    "apply",
    "atomic_change",
    "current_domain",
    "current_message",
    "g",
    "handle",
    "handle_timeout",
    "invariant",
    "on",
    "read",
    "use_case",
]
