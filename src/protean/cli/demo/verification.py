"""The projection compared with the aggregates it was made from, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from protean.cli.demo.application import PROVIDER, Application
from protean.ports.query import Query
from protean.server.asking import reading
from protean.write.tables import table_of

#: What a view says about its customer.
FIELDS = ("name", "email", "lifetime_spend", "loyalty_tier")
#: Customers compared at a time.
PAGE = 500


@dataclass(frozen=True, slots=True)
class Comparison:
    """`missing` customers have no view, `stale` ones another than they should, `extra` views no customer."""

    compared: int = 0
    missing: int = 0
    stale: int = 0
    extra: int = 0

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(
            self.compared + other.compared,
            self.missing + other.missing,
            self.stale + other.stale,
            self.extra + other.extra,
        )


def compare(customers: Iterable[Any], views: Mapping[str, Mapping[str, Any]]) -> Comparison:
    """Customers with the views of the same ones."""
    customers = list(customers)
    missing = sum(customer.id not in views for customer in customers)
    stale = sum(
        any(views[customer.id][field] != getattr(customer, field) for field in FIELDS)
        for customer in customers
        if customer.id in views
    )
    return Comparison(len(customers), missing, stale)


def verify(application: Application) -> Comparison:
    """Compare everything. Nothing may be writing meanwhile."""
    everybody = iter(application.domain.repository_for(application.customer).query.all())
    total = Comparison()
    while page := list(islice(everybody, PAGE)):
        total += compare(page, _by_identity(application, page))
    matched = total.compared - total.missing
    return total + Comparison(extra=_views(application) - matched)


def _by_identity(application: Application, customers: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    return {row["customer_id"]: row for row in application.shown([customer.id for customer in customers])}


def _views(application: Application) -> int:
    with reading(application.domain, PROVIDER) as transaction:
        return transaction.rows.count(Query(), table_of(application.view))
