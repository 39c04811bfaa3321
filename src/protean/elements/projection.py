"""Projections: rows made for reading, kept up to date by projectors."""

from __future__ import annotations

from protean.elements.element import StatefulElement
from protean.elements.typed import Changing


class Projection(Changing):
    """What every class decorated with `@domain.projection` is; as a base, for type checkers only."""


class ProjectionElement(Projection, StatefulElement):
    """A projection with pydantic under it."""
