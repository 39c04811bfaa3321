"""A question to a table, as plain data: built by repositories, answered by adapters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Lookup(StrEnum):
    """How a column is compared. Text lookups beginning with `i` ignore case."""

    EXACT = "exact"
    IEXACT = "iexact"
    CONTAINS = "contains"
    ICONTAINS = "icontains"
    STARTSWITH = "startswith"
    ENDSWITH = "endswith"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    ISNULL = "isnull"


@dataclass(frozen=True, slots=True)
class Where:
    """One comparison. EXACT with None means "is null"; nothing else matches a null column."""

    column: str
    lookup: Lookup
    value: Any


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds; no parts: always true."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold. A comparison with a null column does not hold, so its Not does."""

    part: Condition


Condition = Where | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True)
class Order:
    """Nulls come last ascending and first descending; ties are broken by the table's key, ascending."""

    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    where: Condition = AllOf(())
    order_by: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
