"""How far things are: the two bars of a migration, and everything that must be zero in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protean.cli.demo.application import PROVIDER
from protean.deliver.lanes import Lane
from protean.domain import Domain
from protean.ports.outbox import OutboxCount
from protean.ports.progress import FailureFilter
from protean.server.asking import reading


@dataclass(frozen=True, slots=True)
class LaneState:
    """One lane: `written` events ever, of which `outbox` are not published yet; its streams' state.

    `since` is when the first was written, in seconds since the epoch.
    """

    written: int
    outbox: int
    length: int
    lag: int
    pending: int
    since: float | None = None

    @property
    def waiting(self) -> int:
        """Events written and not handled yet."""
        return self.outbox + self.lag + self.pending

    @property
    def handled(self) -> int:
        return max(self.written - self.waiting, 0)


@dataclass(frozen=True, slots=True)
class State:
    """Both lanes; `failures` counts messages whose handler failed, and those the broker refused."""

    primary: LaneState
    backfill: LaneState
    failures: int

    @property
    def drained(self) -> bool:
        return not (self.primary.waiting or self.backfill.waiting or self.failures)

    @property
    def lag(self) -> int:
        return self.primary.lag + self.backfill.lag

    @property
    def pending(self) -> int:
        return self.primary.pending + self.backfill.pending


NOTHING = State(LaneState(0, 0, 0, 0, 0), LaneState(0, 0, 0, 0, 0), 0)


def look(domain: Domain) -> State:
    """One look: three commands to the broker's streams, two statements to the database."""
    counts = domain.database().outbox.count()
    with reading(domain, PROVIDER) as transaction:
        failures = transaction.failures.count(FailureFilter())
    failures += sum(count.rows for count in counts if count.status == "failed")
    return State(_lane(domain, Lane.PRIMARY, counts), _lane(domain, Lane.BACKFILL, counts), failures)


def _lane(domain: Domain, lane: Lane, counts: Sequence[OutboxCount]) -> LaneState:
    mine = [count for count in counts if domain.lanes.lane_of(count.priority) is lane]
    handlers = domain.registry.handlers
    categories = sorted({category for handler in handlers for category in handler.categories})
    streams = [domain.broker().stream(domain.lanes.stream(category, lane)) for category in categories]
    groups = [group for stream in streams for group in stream.groups]
    return LaneState(
        written=sum(count.rows for count in mine),
        outbox=sum(count.rows for count in mine if count.status == "pending"),
        length=sum(stream.length for stream in streams),
        lag=sum(group.lag for group in groups),
        pending=sum(group.pending for group in groups),
        since=min((count.oldest.timestamp() for count in mine), default=None),
    )
