"""The decorators of a domain, all families together."""

from __future__ import annotations

from protean.elements.declaring.evolving import EvolvingDeclarations
from protean.elements.declaring.handlers import HandlerDeclarations
from protean.elements.declaring.parts import PartDeclarations
from protean.elements.declaring.payloads import PayloadDeclarations
from protean.elements.declaring.reactions import ReactionDeclarations
from protean.elements.declaring.reading import ReadingDeclarations
from protean.elements.declaring.state import StateDeclarations
from protean.elements.declaring.storage import StorageDeclarations
from protean.elements.declaring.values import ValueDeclarations


class Declarations(
    StateDeclarations,
    PartDeclarations,
    ValueDeclarations,
    PayloadDeclarations,
    HandlerDeclarations,
    EvolvingDeclarations,
    ReadingDeclarations,
    ReactionDeclarations,
    StorageDeclarations,
):
    """What a `Domain` offers for declaring elements; they collect in its `registry`."""
