"""What guards one engine process against losing messages with its broker, wired together for its domain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from protean.deliver.floors import FloorKeeper
from protean.deliver.housekeeping import Housekeeping, Retention
from protean.deliver.lanes import Lane
from protean.deliver.lookout import Lookout
from protean.deliver.reconciling import Reconciler
from protean.domain import Domain
from protean.elements.handlers import SubscriberSpec
from protean.handle.foreign import entry_place
from protean.ports.recovery import Interest


class Recovering:
    """Knows every handler's interests and streams, by database. Reads nothing before it is asked to."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._name = domain.config.outbox.broker
        self._interests = interests_of(domain)
        #: stream -> its database and lane
        self._streams = {
            domain.lanes.stream(category, lane): (provider, lane)
            for provider, interests in self._interests.items()
            for interest in interests
            for category in interest.categories
            for lane in domain.lanes.in_use
        }
        self._known: set[tuple[str, str, Lane]] = set()

    def register(self) -> None:
        """Give handlers their registration points, before their groups are made; and remember who had one."""
        for provider, interests in self._interests.items():
            recovery = self._domain.database(provider).recovery
            recovery.open_lanes(self._name, self._domain.lanes.in_use)
            published = {state.lane for state in recovery.lanes(self._name) if state.published}
            for handler in recovery.register(provider, interests):
                self._known |= {(provider, handler, lane) for lane in Lane if lane in published}

    def group_missing(self, stream: str, group: str) -> None:
        """A group is missing at the start, or was: lost, if its handler is known of old and the lane was in use."""
        provider, lane = self._streams[stream]
        if (provider, group, lane) in self._known:
            self.lost(provider, lane)(f"the group {group} on {stream} was gone at the start")

    def lost(self, provider: str, lane: Lane) -> Callable[[str], None]:
        """Whom a subscription of that lane tells why the broker must have lost something."""

        def lose(why: str) -> None:
            self._domain.database(provider).recovery.lose(self._name, lane, why)

        return lose

    def late(self, provider: str, lane: Lane) -> Callable[[str], None]:
        """Whom a subscription of that lane tells that it could make its group only now.

        What was published before, and acknowledged by the groups that were there, was trimmed: its handler missed it.
        """

        def miss(why: str) -> None:
            recovery = self._domain.database(provider).recovery
            if any(state.published for state in recovery.lanes(self._name) if state.lane == lane):
                recovery.lose(self._name, lane, why)

        return miss

    def lookout(self, provider: str) -> Lookout:
        recovery, broker = self._domain.database(provider).recovery, self._domain.broker()
        interests = self._interests.get(provider, [])
        groups = {
            (stream, interest.handler)
            for interest in interests
            for stream in self._streams_of(interest, self._domain.lanes.in_use)
        }
        reconciler = Reconciler(recovery, broker, self._name, interests, groups)
        return Lookout(recovery, broker, self._name, reconciler)

    def housekeeping(self, provider: str) -> Housekeeping:
        database, config = self._domain.database(provider), self._domain.config
        interests = self._interests.get(provider, [])

        def backlog(interest: Interest) -> int:
            streams = self._streams_of(interest, tuple(Lane))  # also of a lane that is no longer in use
            return sum(self._domain.broker().backlog([(stream, interest.handler) for stream in streams]))

        def known_loss() -> bool:
            return any(state.lost_at is not None for state in database.recovery.lanes(self._name))

        keeper = FloorKeeper(
            database.recovery,
            provider,
            interests,
            backlog=backlog,
            missing=self.lost(provider, Lane.PRIMARY),
            known_loss=known_loss,
        )
        retention = Retention(
            timedelta(hours=config.outbox.retention),
            timedelta(hours=config.server.inbox_retention),
            timedelta(days=config.server.idempotency_retention),
            timedelta(days=config.server.result_retention),
        )
        return Housekeeping(database, retention, interests, keeper, oldest_entries(self._domain, provider))

    def _streams_of(self, interest: Interest, lanes: tuple[Lane, ...]) -> list[str]:
        return [self._domain.lanes.stream(category, lane) for category in interest.categories for lane in lanes]


def interests_of(domain: Domain) -> dict[str, list[Interest]]:
    """What the handlers of a domain listen to, by the database that holds it; also databases with nobody listening."""
    interests: dict[str, list[Interest]] = {
        aggregate.__protean__.provider: [] for aggregate in domain.registry.aggregates
    }
    for handler in domain.registry.consumers:
        categories: dict[str, list[str]] = {}
        for category in handler.categories:
            categories.setdefault(domain.provider_of(category), []).append(category)
        for provider, mine in categories.items():
            interest = Interest(handler.name, handler.sequenced, tuple(mine), tuple(sorted(handler.methods)))
            interests.setdefault(provider, []).append(interest)
    return interests


def oldest_entries(domain: Domain, provider: str) -> dict[str, Callable[[], int]]:
    """What asks for the place of the oldest entry on a subscriber's stream, by those kept in that database."""

    def asking(subscriber: SubscriberSpec) -> Callable[[], int]:
        def ask() -> int:
            first = domain.broker(subscriber.broker).stream(subscriber.stream).first_id
            return 0 if first is None else entry_place(first)  # of an empty stream: until there is something

        return ask

    return {each.handler.name: asking(each) for each in domain.registry.subscribers if each.provider == provider}
