"""How far each lane is: what is committed, on its way, in hand, and owed.

Read from three places that are never seen at one moment: outbox and failures in the database, the streams on the
broker. While something is moving, a message may be counted in two of them for an instant, and never in none: they
are asked in the direction in which messages travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from protean.clock import utc_now
from protean.deliver.lanes import Lane
from protean.domain import Domain
from protean.elements.handlers import COMMANDS, HandlerSpec, SubscriberSpec
from protean.ports.broker import StreamState
from protean.ports.control import Pause
from protean.ports.database import Transaction
from protean.ports.outbox import OutboxCount
from protean.ports.progress import Failure, FailureFilter, FailureState
from protean.server.asking import providers_of, reading
from protean.server.control import Controls
from protean.server.retired import retired_lanes

#: Failures per stream whose blocked messages are counted. More is exact for longer, at two look-ups in indexes each.
LOOKED_BEHIND = 100


@dataclass(frozen=True, slots=True)
class GroupReport:
    """A handler on one stream. Without a group (`exists` false) all of the stream is still ahead of it.

    `consumers` counts the processes that the broker knows of as readers, also those that have ended lately.
    `paused`: somebody has said that it must rest here.
    """

    handler: str
    exists: bool
    lag: int
    pending: int
    paused: Pause | None = None
    consumers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneReport:
    """One stream of one lane. `oldest` is the age in seconds of the oldest message not yet handled.

    `blocked` counts messages behind failures of sequenced handlers; with `blocked_at_least` there are more.
    `served` is false for what is left on a lane that the configuration has turned off.
    """

    stream: str
    category: str
    lane: Lane
    served: bool
    outbox: int
    given_up: int
    length: int
    groups: tuple[GroupReport, ...]
    oldest: float | None
    waiting: int
    blocked: int
    blocked_at_least: bool
    dead: int

    @property
    def lag(self) -> int:
        """Entries that the handler furthest behind has not been given yet."""
        return max((group.lag for group in self.groups), default=0)

    @property
    def pending(self) -> int:
        """Entries that handlers have in hand, not acknowledged yet."""
        return sum(group.pending for group in self.groups)

    @property
    def drained(self) -> bool:
        """Everything that was committed for this lane has been handled."""
        owed = self.outbox + self.given_up + self.waiting + self.blocked + self.dead
        return owed == 0 and self.lag == 0 and self.pending == 0


def lane_reports(domain: Domain) -> list[LaneReport]:
    """A report for every stream that handlers of the domain listen to, and each lane of it."""
    lanes = domain.lanes
    outbox = [count for provider in providers_of(domain) for count in domain.database(provider).outbox.owed()]
    categories = sorted({category for handler in domain.registry.consumers for category in handler.categories})
    reports = []
    for category in categories:
        for lane in Lane:
            state = domain.broker().stream(lanes.stream(category, lane))
            rows = [row for row in outbox if row.category == category and lanes.lane_of(row.priority) is lane]
            reports.append(_report(domain, category, lane, rows, state))
    reports += [_foreign_report(domain, subscriber) for subscriber in domain.registry.subscribers]
    seen = {report.stream for report in reports}
    reports += [
        _report(domain, retired.category, Lane.BACKFILL, [], retired.state, retired=retired.stream)
        for retired in retired_lanes(domain)
        if retired.stream not in seen
    ]
    pauses = {(pause.handler, pause.lane): pause for pause in Controls(domain).pauses()}
    reports = [
        replace(
            report,
            groups=tuple(replace(each, paused=pauses.get((each.handler, report.lane.value))) for each in report.groups),
        )
        for report in reports
    ]
    # Of a lane that is turned off, what is left: on its stream, or as failures when the stream is empty. Of commands
    # that nobody sends asynchronously, the same.
    return [
        report
        for report in reports
        if report.length or not report.drained or (report.served and not _is_unused(domain, report.category))
    ]


def _is_unused(domain: Domain, category: str) -> bool:
    """Whether it is a stream of commands in a domain that handles them where they are sent, unless told otherwise."""
    return category.endswith(COMMANDS) and domain.config.command_processing == "sync"


def _foreign_report(domain: Domain, subscriber: SubscriberSpec) -> LaneReport:
    """The stream of a subscriber. What is on it may all be handled, for nobody but its owner removes anything."""
    state = domain.broker(subscriber.broker).stream(subscriber.stream)
    report = _report(domain, subscriber.stream, Lane.PRIMARY, [], state, foreign=subscriber)
    mine = [group for group in state.groups if group.name == subscriber.handler.name and group.oldest_pending_id]
    return replace(report, oldest=max((_age_of(str(group.oldest_pending_id)) for group in mine), default=None))


def messages_behind(domain: Domain, failures: Sequence[Failure], transaction: Transaction) -> dict[str, int]:
    """How many later messages of the same stream wait behind each failure of a sequenced handler, by message id."""
    sequenced = {handler.name for handler in domain.registry.consumers if handler.sequenced}
    blocking = [
        failure for failure in failures if failure.handler in sequenced and failure.state is not FailureState.ARCHIVED
    ]
    ids = [failure.message_id for failure in blocking if failure.raw is None]
    return dict(transaction.log.behind(ids)) if ids else {}


def _report(
    domain: Domain,
    category: str,
    lane: Lane,
    outbox: Sequence[OutboxCount],
    state: StreamState,
    *,
    retired: str = "",
    foreign: SubscriberSpec | None = None,
) -> LaneReport:
    """`retired` is the stream of a lane that the configuration does not have, `foreign` reads somebody else's."""
    stream = foreign.stream if foreign else retired or domain.lanes.stream(category, lane)
    pending = [row for row in outbox if row.status == "pending"]
    handlers = [foreign.handler] if foreign else domain.registry.handlers_of(category)
    groups = _groups(handlers, state)
    waiting = dead = blocked = looked_at = 0
    for provider in providers_of(domain):
        with reading(domain, provider) as transaction:
            failures = transaction.failures
            waiting += failures.count(FailureFilter(stream=stream, state=FailureState.WAITING))
            dead += failures.count(FailureFilter(stream=stream, state=FailureState.DEAD))
            for owed in (FailureState.WAITING, FailureState.DEAD):
                found = failures.find(FailureFilter(stream=stream, state=owed), LOOKED_BEHIND)
                behind = messages_behind(domain, found, transaction)
                blocked += sum(behind.get(failure.message_id, 0) for failure in found)
                looked_at += len(found)
    return LaneReport(
        stream=stream,
        category=category,
        lane=lane,
        served=lane in domain.lanes.in_use and not retired,
        outbox=sum(row.rows for row in pending),
        given_up=sum(row.rows for row in outbox if row.status == "failed"),
        length=state.length,
        groups=groups,
        oldest=_oldest([row.oldest for row in pending], state, groups),
        waiting=waiting,
        blocked=blocked,
        blocked_at_least=looked_at < waiting + dead,
        dead=dead,
    )


def _groups(handlers: Sequence[HandlerSpec], state: StreamState) -> tuple[GroupReport, ...]:
    there = {group.name: group for group in state.groups}
    reports = []
    for handler in handlers:
        group = there.get(handler.name)
        if group is None:
            reports.append(GroupReport(handler.name, False, state.length, 0))
        else:
            reports.append(GroupReport(handler.name, True, group.lag, group.pending, consumers=len(group.consumers)))
    return tuple(reports)


def _oldest(written: Sequence[datetime], state: StreamState, groups: Sequence[GroupReport]) -> float | None:
    """The age of the oldest message in the outbox or on the stream. Entry ids begin with their time in ms."""
    now = utc_now()
    ages = [(now - moment).total_seconds() for moment in written]
    if state.first_id is not None and any(group.lag or group.pending for group in groups):
        ages.append(_age_of(state.first_id))
    return max(ages, default=None)


def _age_of(entry_id: str) -> float:
    return utc_now().timestamp() - int(entry_id.partition("-")[0]) / 1000
