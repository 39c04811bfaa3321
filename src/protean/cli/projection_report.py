"""How far each projection is, and what holds it up: gathered from the database."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from protean.clock import utc_now
from protean.domain import Domain
from protean.elements.handlers import HandlerSpec
from protean.elements.projection import ProjectionElement
from protean.ports.database import Transaction
from protean.ports.progress import FailureFilter, FailureState
from protean.ports.query import Query
from protean.ports.rebuilding import UnderWay
from protean.ports.recovery import Interest
from protean.write.tables import table_of


@dataclass(frozen=True, slots=True)
class ProjectorReport:
    """`lag`: events of its types that it has not applied; `oldest`: seconds since the first of them was written.

    Both are None for one without an order, whose position nobody knows. `waiting` failures will be tried again, `dead`
    ones not; `blocked` streams wait behind either.
    """

    projector: str
    lag: int | None
    oldest: float | None
    waiting: int
    dead: int
    blocked: int

    @property
    def up_to_date(self) -> bool:
        """Whether it owes nothing."""
        return not (self.lag or self.waiting or self.dead or self.blocked)


@dataclass(frozen=True, slots=True)
class ProjectionReport:
    """`rows` of its table, and its projectors. `rebuild`: one that has begun and not ended."""

    projection: str
    database: str
    table: str
    rows: int
    projectors: tuple[ProjectorReport, ...]
    rebuild: UnderWay | None

    def as_plain(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "up_to_date": all(each.up_to_date for each in self.projectors)}


def projection_reports(domain: Domain) -> list[ProjectionReport]:
    """Every projection of the domain, by name."""
    return [_report(domain, projection) for projection in sorted(domain.registry.projections, key=lambda p: p.__name__)]


def _report(domain: Domain, projection: type[ProjectionElement]) -> ProjectionReport:
    provider, table = projection.__protean__.provider, table_of(projection)
    transaction = domain.database(provider).transaction()
    try:
        under_way = {each.projection: each for each in transaction.rebuilding.under_way()}
        return ProjectionReport(
            projection=projection.__name__,
            database=provider,
            table=table.name,
            rows=transaction.rows.count(Query(), table),
            projectors=tuple(
                _projector(transaction, spec) for spec in domain.registry.handlers if spec.projection is projection
            ),
            rebuild=under_way.get(projection.__name__),
        )
    finally:
        transaction.rollback()


def _projector(transaction: Transaction, spec: HandlerSpec) -> ProjectorReport:
    def failures(state: FailureState) -> int:
        return transaction.failures.count(FailureFilter(handlers=(spec.name,), state=state))

    interest = Interest(spec.name, spec.sequenced, spec.categories, tuple(sorted(spec.methods)))
    behind = transaction.rebuilding.behind(interest) if spec.sequenced else None
    return ProjectorReport(
        projector=spec.name,
        lag=None if behind is None else behind.events,
        oldest=None if behind is None or behind.oldest is None else (utc_now() - behind.oldest).total_seconds(),
        waiting=failures(FailureState.WAITING),
        dead=failures(FailureState.DEAD),
        blocked=0 if behind is None else behind.blocked,
    )
