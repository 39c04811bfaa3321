"""What is wrong on the way from the outbox to the handlers, why that matters, and what mends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial

from protean.clock import utc_now
from protean.deliver.heartbeat import Sign
from protean.deliver.lanes import Lane
from protean.domain import Domain
from protean.exceptions import ConfigurationError
from protean.server.departed import DepartedHandler, departed_handlers, remove
from protean.server.retired import categories_of, orphan_groups, retired_lanes, users_of
from protean.server.unpublished import forget, unpublished
from protean.wording import counted

#: Seconds that clocks may differ: what is due, and how old something is, is wrong by as much.
CLOCKS_DIFFER = 2.0
#: Seconds that a published event may wait for its broker before that is told of.
PUBLISHED_WITHIN = 60.0


class Trouble(StrEnum):
    UNFIT_BROKER = "unfit-broker"
    NO_ENGINE = "no-engine"
    UNSERVED_LANE = "unserved-lane"
    MISSING_GROUP = "missing-group"
    ORPHAN_GROUP = "orphan-group"
    DEPARTED_HANDLER = "departed-handler"
    RETIRED_LANE = "retired-lane"
    LEFT_BEHIND = "left-behind"
    CLOCKS = "clocks"
    GIVEN_UP = "given-up"
    UNPUBLISHED = "unpublished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`what` is wrong with `subject`, `why` it matters, and the `remedy`, a command or what to do.

    `mend` does it, where a program may; `loses` is how many messages then go unread by somebody, and `price` says all
    that is lost with it, to be agreed to.
    """

    trouble: Trouble
    subject: str
    what: str
    why: str
    remedy: str
    mend: Callable[[], None] | None = None
    loses: int = 0
    price: str = ""


FIX = "protean lanes doctor --fix"


def diagnose(domain: Domain) -> list[Finding]:
    """Everything found, the worst first. Raises ProteanError when a server cannot be asked."""
    try:
        domain.broker().ping()
    except ConfigurationError as error:
        return [
            Finding(
                trouble=Trouble.UNFIT_BROKER,
                subject=domain.config.outbox.broker,
                what=str(error),
                why="messages on their way may vanish; engines refuse to start",
                remedy="change the broker's configuration as said",
            )
        ]
    looks = (
        _engines,
        _missing_groups,
        _left_behind,
        _orphans,
        _departed,
        _retired,
        _given_up,
        _unpublished,
        clocks_that_differ,
    )
    return [finding for look in looks for finding in look(domain)]


def signs_of(domain: Domain) -> dict[str, Sign]:
    """The living engine processes of this domain, by consumer, and which lanes they serve. Raises BrokerError."""
    said = {consumer: Sign.from_text(text) for consumer, text in domain.broker().signs().items()}
    return {consumer: sign for consumer, sign in said.items() if sign is not None and sign.domain == domain.name}


def _engines(domain: Domain) -> Iterator[Finding]:
    signs = signs_of(domain)
    if not signs:
        yield Finding(
            trouble=Trouble.NO_ENGINE,
            subject=domain.name,
            what="no engine process is running",
            why="what is committed stays in the outbox, and nothing is handled",
            remedy="protean server",
        )
        return
    running = counted(len(signs), "engine process", "engine processes")
    served = {lane for sign in signs.values() for lane in sign.lanes}
    for lane in domain.lanes.in_use:
        if lane not in served:
            others = "engines that were started before lanes were turned on?" if lane is Lane.BACKFILL else "--lanes?"
            yield Finding(
                trouble=Trouble.UNSERVED_LANE,
                subject=lane.value,
                what=f"{running} running, none of which serves the {lane} lane ({others})",
                why="its messages wait for ever",
                remedy=f"restart the engines, or add one: protean server --lanes={lane}",
            )


def _missing_groups(domain: Domain) -> Iterator[Finding]:
    lanes, broker = domain.lanes, domain.broker()
    if not signs_of(domain):
        return  # an engine makes them when it starts
    for handler in domain.registry.consumers:
        for category in handler.categories:
            for lane in lanes.in_use:
                stream = lanes.stream(category, lane)
                if handler.name not in {group.name for group in broker.stream(stream).groups}:
                    yield Finding(
                        trouble=Trouble.MISSING_GROUP,
                        subject=f"{handler.name} on {stream}",
                        what=f"{handler.name} has no group on {stream}",
                        why="once the other groups have read a message it is trimmed, and this handler never sees it",
                        remedy=f"restart the engine, which makes it; or {FIX}",
                        mend=partial(_make, domain, stream, handler.name),
                    )

    for subscriber in domain.registry.subscribers:
        stream, name = subscriber.stream, subscriber.handler.name
        if name not in {group.name for group in domain.broker(subscriber.broker).stream(stream).groups}:
            yield Finding(
                trouble=Trouble.MISSING_GROUP,
                subject=f"{name} on {stream}",
                what=f"{name} has no group on {stream}, a stream of others",
                why="what its owner removes meanwhile, this subscriber never sees",
                remedy=f"restart the engine, which makes it; or {FIX}",
                mend=partial(_make, domain, stream, name, subscriber.broker),
            )


def _make(domain: Domain, stream: str, group: str, broker: str | None = None) -> None:
    domain.broker(broker).ensure_group(stream, group)


def _left_behind(domain: Domain) -> Iterator[Finding]:
    lanes, broker = domain.lanes, domain.broker()
    living = set(broker.living())
    streams = [lanes.stream(category, lane) for category in categories_of(domain) for lane in lanes.in_use]
    for stream in streams:
        for group in broker.stream(stream).groups:
            if not group.pending:
                continue
            for consumer, held in broker.held(stream, group.name).items():
                if held and consumer not in living:
                    yield Finding(
                        trouble=Trouble.LEFT_BEHIND,
                        subject=f"{consumer} in {group.name} on {stream}",
                        what=f"{consumer} gives no sign of life and holds {counted(held, 'message')} of {group.name}",
                        why="they wait until an engine takes them over, which a running one does within 10 s",
                        remedy="start an engine, or see in its log what keeps it: protean server",
                    )


def _orphans(domain: Domain) -> Iterator[Finding]:
    for orphan in orphan_groups(domain):
        unread = counted(orphan.unread, "message")
        used = f"; {', '.join(orphan.users)} uses it" if orphan.users else ""
        yield Finding(
            trouble=Trouble.ORPHAN_GROUP,
            subject=f"{orphan.group} on {orphan.stream}",
            what=f"{orphan.stream} has a group of {orphan.group}, a handler this domain does not have{used}",
            why=f"{orphan.stream} grows: what this group has not read ({unread}) cannot be removed",
            remedy="older code, or another domain that listens here: let it run" if orphan.users else FIX,
            mend=None if orphan.users else partial(_remove, domain, orphan.stream, orphan.group),
            loses=orphan.unread,
            price=f"{counted(orphan.unread, 'message')} it has not read",
        )


def _remove(domain: Domain, stream: str, group: str) -> None:
    """Remove a group unless somebody has begun to use it since it was found."""
    found = [each for each in domain.broker().stream(stream).groups if each.name == group]
    if any(users_of(each, set(domain.broker().living())) for each in found):
        raise ConfigurationError(f"{group} on {stream} is in use by now: a handler of that name has started")
    domain.broker().remove_group(stream, group)


def _departed(domain: Domain) -> Iterator[Finding]:
    for departed in departed_handlers(domain):
        rows = departed.remains
        left = ", ".join(
            (
                counted(rows.positions, "position"),
                counted(rows.inbox, "note of a message handled", "notes of messages handled"),
                counted(rows.failures, "failure or dead letter", "failures and dead letters"),
            )
        )
        mendable = departed.gone and not departed.foreign
        yield Finding(
            trouble=Trouble.DEPARTED_HANDLER,
            subject=f"{departed.handler} in {departed.provider}",
            what=f"{departed.handler}, a handler this domain does not have, has left in {departed.provider}: {left}",
            why="they stay for ever; once removed, a handler of that name is a new one and begins anew",
            remedy=FIX if mendable else _patience(departed),
            mend=partial(remove, domain, departed) if mendable else None,
            price=left,
        )


def _patience(departed: DepartedHandler) -> str:
    """What to do about a handler that cannot be removed, or not yet."""
    if not departed.gone:
        user = ", ".join(departed.users) or f"an engine that had it {departed.seen:.0f} s ago"
        return f"older code, or another domain, uses it ({user}): let it run, or look again 3 minutes after its end"
    return (
        f"it handles {', '.join(departed.types)}, which this domain does not know: leave it if another domain shares "
        "the database; else delete its rows from handlers, positions, inbox and failures"
    )


def _retired(domain: Domain) -> Iterator[Finding]:
    living = set(domain.broker().living())
    for lane in retired_lanes(domain):
        used = any(users_of(group, living) for group in lane.state.groups)
        if lane.owed:
            yield Finding(
                trouble=Trouble.RETIRED_LANE,
                subject=lane.stream,
                what=f"{lane.stream} is no lane of this configuration and has messages for {', '.join(lane.owed)}",
                why="they are handled last, by an engine with this configuration",
                remedy="let an engine run, it empties the lane within minutes and removes it: protean server",
            )
        elif not lane.state.length and not used:
            yield Finding(
                trouble=Trouble.RETIRED_LANE,
                subject=lane.stream,
                what=f"{lane.stream} is no lane of this configuration, and empty",
                why="it only confuses",
                remedy=FIX,
                mend=partial(_remove_stream, domain, lane.stream),
            )


def _remove_stream(domain: Domain, stream: str) -> None:
    domain.broker().remove_stream(stream)


def _given_up(domain: Domain) -> Iterator[Finding]:
    for provider in sorted(name for name, tables in domain.tables.items() if tables):
        failed: dict[str, int] = {}
        for count in domain.database(provider).outbox.owed():
            if count.status == "failed":
                failed[count.category] = failed.get(count.category, 0) + count.rows
        for category, rows in failed.items():
            yield Finding(
                trouble=Trouble.GIVEN_UP,
                subject=f"{category} in {provider}",
                what=f"the broker refused {counted(rows, 'message')} of {category} so often that the relay gave up",
                why="no handler will see them",
                remedy="see last_error in the table outbox, mend the cause, then: protean outbox revive",
            )


def _unpublished(domain: Domain) -> Iterator[Finding]:
    for each in unpublished(domain):
        count, provider = each.count, each.provider
        rows = counted(count.rows, "published event")
        subject = f"{count.category} in {provider} for {count.broker}"
        if not each.meant:
            yield Finding(
                trouble=Trouble.UNPUBLISHED,
                subject=subject,
                what=f"{rows} of {count.category} wait for {count.broker}, which is no external broker any more",
                why="nobody publishes them, and they stay for ever",
                remedy=f"name {count.broker} in external_brokers of [outbox] again; or {FIX}, which forgets them",
                mend=partial(_forget, domain, provider, count.broker),
                loses=count.rows,
                price=f"{rows} that {count.broker} has not got",
            )
        elif count.refused:
            yield Finding(
                trouble=Trouble.UNPUBLISHED,
                subject=subject,
                what=f"{count.broker} has refused {counted(count.refused, 'event')} of {count.category}: "
                f"{count.last_error}",
                why=f"they, and later ones of the same aggregates, wait: {rows} in all",
                remedy="mend what the broker complains of; they are tried again every few minutes",
            )
        elif each.age > PUBLISHED_WITHIN:
            yield Finding(
                trouble=Trouble.UNPUBLISHED,
                subject=subject,
                what=f"{rows} of {count.category} wait for {count.broker}, the oldest for {each.age:.0f} s",
                why="its readers hear of nothing; within this domain nothing waits for it",
                remedy=f"see that {count.broker} answers, and that an engine of the primary lane runs",
            )


def _forget(domain: Domain, provider: str, broker: str) -> None:
    forget(domain, provider, broker)


def clocks_that_differ(domain: Domain) -> Iterator[Finding]:
    """A finding for each server whose clock is not this machine's. Raises ProteanError when one cannot be asked."""
    clocks: dict[str, Callable[[], datetime]] = {f"the broker {domain.config.outbox.broker}": domain.broker().clock}
    for provider in sorted(name for name, tables in domain.tables.items() if tables):
        if (sessions := domain.sessions(provider)) is not None:
            clocks[f"the database {provider}"] = sessions.clock
    for name, ask in clocks.items():
        began = time.monotonic()
        ahead = (ask() - utc_now()).total_seconds()
        slack = time.monotonic() - began
        if abs(ahead) > CLOCKS_DIFFER + slack:
            yield Finding(
                trouble=Trouble.CLOCKS,
                subject=name,
                what=f"{name} has a clock {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's",
                why="retries come early or late, and ages and latencies are wrong by as much; nothing is lost",
                remedy="synchronise the clocks (NTP)",
            )
