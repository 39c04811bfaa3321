"""What another configuration or older code has left on the broker: lanes turned off or renamed, handlers that are gone.

Found by looking at what is there, since nobody can be relied on to have told: the streams `{category}:{suffix}` of
this domain's categories, and the groups on all of its streams. What is owed to handlers of today is handed to them;
what only handlers of yesterday needed is for a person to remove (`protean lanes doctor --fix`).
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

from protean.deliver.lanes import OTHER_STREAMS, Lane
from protean.deliver.subscription import Subscription
from protean.domain import Domain
from protean.exceptions import BrokerError
from protean.ports.broker import GroupState, StreamState
from protean.wording import counted

logger = logging.getLogger(__name__)

#: Seconds between looks at the broker; after one that failed, the shorter.
LOOK_INTERVAL, LOOK_INTERVAL_FAILED = 60.0, 5.0

#: What a lane's suffix can look like, now or in another configuration.
_SUFFIX = re.compile(r"[a-z0-9_-]+")

Subscribe = Callable[[str, str, str], Subscription]


@dataclass(frozen=True, slots=True)
class RetiredLane:
    """A stream that no lane of the configuration has. `owed` are today's handlers that have not read it to the end."""

    stream: str
    category: str
    state: StreamState
    owed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OrphanGroup:
    """A group of a handler that this domain does not have. It keeps its stream from being trimmed.

    `users` are living consumers of it: an engine with older code, or another domain that listens to this one.
    """

    stream: str
    group: str
    unread: int
    users: tuple[str, ...]


def categories_of(domain: Domain) -> list[str]:
    """The stream categories of the domain's aggregates, and those that its handlers listen to."""
    of_aggregates = {aggregate.__protean__.stream_category for aggregate in domain.registry.aggregates}
    of_handlers = {category for handler in domain.registry.consumers for category in handler.categories}
    return sorted(of_aggregates | of_handlers)


def retired_lanes(domain: Domain) -> list[RetiredLane]:
    """The lanes of another configuration that today's handlers have groups on, empty ones too. Raises BrokerError."""
    lanes, broker = domain.lanes, domain.broker()
    categories = categories_of(domain)
    in_use = {lanes.stream(category, lane) for category in categories for lane in lanes.in_use}
    found = []
    for stream in broker.streams(lanes.stream_prefix):
        category, _, suffix = stream.removeprefix(lanes.stream_prefix).rpartition(":")
        if stream in in_use or category not in categories:
            continue
        if suffix in OTHER_STREAMS or not _SUFFIX.fullmatch(suffix):
            continue
        names = {handler.name for handler in domain.registry.handlers_of(category)}
        state = broker.stream(stream)
        ours = [group for group in state.groups if group.name in names]
        if ours:
            owed = tuple(group.name for group in ours if group.lag or group.pending)
            found.append(RetiredLane(stream, category, state, owed))
    return found


def orphan_groups(domain: Domain) -> list[OrphanGroup]:
    """The groups of handlers that are gone, on all streams of the domain. Raises BrokerError."""
    lanes, broker = domain.lanes, domain.broker()
    streams = {lanes.stream(category, lane): category for category in categories_of(domain) for lane in lanes.in_use}
    streams |= {lane.stream: lane.category for lane in retired_lanes(domain)}
    living = set(broker.living())
    orphans = []
    for stream, category in sorted(streams.items()):
        names = {handler.name for handler in domain.registry.handlers_of(category)}
        orphans += [
            OrphanGroup(stream, group.name, group.lag + group.pending, users_of(group, living))
            for group in broker.stream(stream).groups
            if group.name not in names
        ]
    return orphans


def users_of(group: GroupState, living: set[str]) -> tuple[str, ...]:
    """The living consumers of a group."""
    return tuple(consumer for consumer in group.consumers if consumer in living)


class RetiredLanes:
    """Empties the lanes of another configuration, from one thread, lane by lane and batch by batch.

    `subscribe(handler, category, stream)` makes the subscription that does it. Other engines may be at it too, and
    engines of the other configuration: they share the groups, so nothing is handled twice.
    """

    def __init__(self, domain: Domain, consumer: str, subscribe: Subscribe) -> None:
        self._domain = domain
        self._consumer = consumer
        self._subscribe = subscribe
        self._told: set[tuple[str, str]] = set()
        self._complained = False

    def run(self, stopping: threading.Event) -> None:
        """Look now and then, and empty what is found, until `stopping` is set."""
        while not stopping.is_set():
            try:
                self.look(stopping)
            except BrokerError as error:
                if not self._complained:
                    logger.warning("Lanes of an earlier configuration are looked for later: %s", error)
                self._complained = True
            else:
                self._complained = False
            stopping.wait(LOOK_INTERVAL_FAILED if self._complained else LOOK_INTERVAL)

    def look(self, stopping: threading.Event) -> None:
        """Empty every lane of another configuration, remove those that nobody uses, and tell of orphan groups."""
        self._tell_of_orphans()
        lanes = retired_lanes(self._domain)
        self._empty({(lane.stream, handler): lane.category for lane in lanes for handler in lane.owed}, stopping)
        for lane in retired_lanes(self._domain) if lanes and not stopping.is_set() else ():
            self._remove(lane)

    def _empty(self, owed: dict[tuple[str, str], str], stopping: threading.Event) -> None:
        """Turn by turn, so that no lane waits for another to end."""
        for stream, handler in owed:
            logger.warning(
                "%s is a lane of an earlier configuration with messages for %s: handling them", stream, handler
            )
        serving = {
            (stream, handler): self._subscribe(handler, category, stream)
            for (stream, handler), category in owed.items()
        }
        while serving and not stopping.is_set():
            for (stream, handler), subscription in list(serving.items()):
                subscription.turn(stopping)
                if self._domain.broker().backlog([(stream, handler)]) == [0]:
                    del serving[stream, handler]
                    self._domain.broker().resign(self._consumer, stream, handler)
                    logger.info("%s has nothing left for %s", stream, handler)

    def _remove(self, lane: RetiredLane) -> None:
        """Remove an empty lane, unless an engine of the other configuration is still there to use it."""
        living = set(self._domain.broker().living())
        if lane.state.length or any(users_of(group, living) for group in lane.state.groups):
            return
        if self._domain.broker().remove_stream(lane.stream):
            logger.info("Removed %s: empty, a lane of an earlier configuration, and nobody reads it", lane.stream)

    def _tell_of_orphans(self) -> None:
        for orphan in orphan_groups(self._domain):
            if orphan.users or (orphan.stream, orphan.group) in self._told:
                continue
            self._told.add((orphan.stream, orphan.group))
            logger.warning(
                "%s has a group of %s, a handler that this domain does not have: the stream grows, as nothing that it "
                "has not read (%s) is removed; `protean lanes doctor --fix` removes the group",
                orphan.stream,
                orphan.group,
                counted(orphan.unread, "message"),
            )


def drains(lanes: tuple[Lane, ...], enabled: bool) -> bool:
    """Whether a process that serves these lanes is the one to empty retired ones: what may wait is backfill's."""
    return Lane.BACKFILL in lanes or not enabled
