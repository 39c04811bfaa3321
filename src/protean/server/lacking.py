"""Whether the tables that are there have the columns that are declared now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from protean.domain import Domain
from protean.ports.database import Definitions, Differing, Lacking, Missing
from protean.ports.rows import Table

T = TypeVar("T")

logger = logging.getLogger(__name__)


def lacking_of(domain: Domain, tables: Mapping[str, Sequence[Table]]) -> dict[str, list[Lacking]]:
    """What the tables of these databases lack, by database; those that lack nothing are left out."""
    return _asked(domain, tables, lambda database, its: database.lacking(its))


def missing_of(domain: Domain, tables: Mapping[str, Sequence[Table]]) -> dict[str, list[Missing]]:
    """Which of these tables are not there, by database; databases that have all are left out."""
    return _asked(domain, tables, lambda database, its: database.missing(its))


def differing_of(domain: Domain, tables: Mapping[str, Sequence[Table]]) -> dict[str, list[Differing]]:
    """Which columns refuse what is declared, by database; databases without any are left out."""
    return _asked(domain, tables, lambda database, its: database.differing(its))


def _asked(
    domain: Domain,
    tables: Mapping[str, Sequence[Table]],
    question: Callable[[Definitions, Sequence[Table]], list[T]],
) -> dict[str, list[T]]:
    found = {}
    for provider, declared in tables.items():
        database = domain.database(provider)
        answer = question(database, declared) if isinstance(database, Definitions) else []
        if answer:
            found[provider] = answer
    return found


def say_what_lacks(domain: Domain) -> None:
    """Log what tables lack. The engine starts all the same: it serves what does not need those columns."""
    used = {provider: tables for provider, tables in domain.tables.items() if tables}
    for provider, tables in lacking_of(domain, used).items():
        for each in tables:
            logger.error(
                "%s: what handlers keep in it fails until they are added. `protean db setup --sql` prints: %s",
                described(provider, each),
                " ".join(each.statements),
            )


def described(provider: str, lacking: Lacking) -> str:
    """`default: the table customer lacks the column loyalty_tier`."""
    nouns = [(("column", "columns"), lacking.columns), (("index", "indexes"), lacking.indexes)]
    parts = [f"the {noun[len(names) > 1]} {', '.join(names)}" for noun, names in nouns if names]
    return f"{provider}: the table {lacking.table} lacks {' and '.join(parts)}"
