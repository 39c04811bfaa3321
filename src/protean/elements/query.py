"""Queries: questions to a projection, which one handler answers without changing anything."""

from __future__ import annotations

from protean.elements.payload import PayloadElement
from protean.elements.typed import Unchanging


class Query(Unchanging):
    """What every class decorated with `@domain.query` is; naming it as a base is for type checkers only."""


class QueryElement(Query, PayloadElement):  # type: ignore[misc]  # to mypy, pydantic's models change
    """A query with pydantic under it."""
