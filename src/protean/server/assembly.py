"""What one engine process runs: relays, subscriptions, retriers and their helpers, wired together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from protean import codec
from protean.deliver.attending import ATTENDANTS, TURN, Attendant, Attendants
from protean.deliver.dead_letters import Undertaker
from protean.deliver.doorbell import Announcing, bell_name, stream_bell
from protean.deliver.gate import GateSlot, LaneGate, Passage
from protean.deliver.lanes import Lane
from protean.deliver.publishing import PublishingRelay
from protean.deliver.relay import Relay, RelaySettings
from protean.deliver.subscription import GATHER, LaneRoute, Subscription, SubscriptionSettings
from protean.deliver.vigil import Vigil
from protean.domain import Domain
from protean.domain.reacting import process_managers
from protean.elements.handlers import COMMANDS, HandlerSpec
from protean.exceptions import ConfigurationError
from protean.handle.breaker import Breaker, BreakerSettings
from protean.handle.executor import Executor
from protean.handle.retrier import Retrier, at_once
from protean.handle.timekeeper import Timekeeper
from protean.ports.outbox import OutboxRow
from protean.ports.progress import Failure
from protean.rounds import Rounds
from protean.server.asking import reading
from protean.server.backlog import BacklogWatch
from protean.server.control import control_provider
from protean.server.foreign import ForeignStreams, Surroundings
from protean.server.pausing import Pauses
from protean.server.publishing import PublishingRelays
from protean.server.recovering import Recovering
from protean.server.retired import RetiredLanes, drains

#: Slots of the lane gate that one process may use.
SLOTS_PER_PROCESS = 128

Run = Callable[[threading.Event], None]


class InRounds(Protocol):
    """What works in rounds on a thread of its own, and remembers how the last has ended."""

    rounds: Rounds

    def run(self, stopping: threading.Event) -> None: ...


@dataclass(frozen=True, slots=True)
class Role:
    """What one engine process does. `index` tells the processes of one server apart; one of them is the `first`."""

    lanes: tuple[Lane, ...] = (Lane.PRIMARY, Lane.BACKFILL)
    index: int = 0
    first: bool = True

    @property
    def slots(self) -> range:
        """Its slots of the lane gate."""
        return range(self.index * SLOTS_PER_PROCESS, (self.index + 1) * SLOTS_PER_PROCESS)


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A handler, one category it listens to, and the database that holds the category's history."""

    handler: HandlerSpec
    category: str
    provider: str

    @property
    def of_commands(self) -> bool:
        """Whether the category is that of an aggregate's asynchronous commands."""
        return self.category.endswith(COMMANDS)


class Assembly:
    def __init__(self, domain: Domain, role: Role, gate: LaneGate, consumer: str) -> None:
        self._domain = domain
        self._role = role
        self._gate = gate
        self._consumer = consumer
        self._undertaker: Undertaker | None = None
        lanes = domain.lanes
        self.lanes = tuple(lane for lane in role.lanes if lane in lanes.in_use)
        self.subscribed = [
            Subscribed(handler, category, domain.provider_of(category))
            for handler in domain.registry.consumers
            for category in handler.categories
        ]
        #: Those on whose streams little happens, as commands are handled where they are sent: they share threads.
        self._quiet = [
            each for each in self.subscribed if each.of_commands and domain.config.command_processing == "sync"
        ]
        self._attendants: list[Attendants] = []
        self.providers = sorted({aggregate.__protean__.provider for aggregate in domain.registry.aggregates})
        #: Every (stream, group) of these handlers, whatever lanes this process serves.
        self.groups = {
            (lanes.stream(each.category, lane), each.handler.name) for each in self.subscribed for lane in lanes.in_use
        }
        #: Those of them that the broker was too full to make at the start.
        self.unmade: set[tuple[str, str]] = set()
        self.recovering = Recovering(domain)
        self.foreign = ForeignStreams(domain, self.lanes)
        self.publishing = PublishingRelays(domain, self.providers if Lane.PRIMARY in self.lanes else ())
        self.relays: dict[str, Relay] = {}
        #: By what would be the name of their thread; it is, unless they share threads.
        self.subscriptions: dict[str, Subscription] = {}
        self.occupied: dict[str, Subscription | Attendant | Relay | PublishingRelay] = {}
        self.in_rounds: dict[str, InRounds] = {}
        #: What somebody has said must rest.
        self.pauses = Pauses(lambda: reading(domain, control_provider(domain)))
        #: Whether this process's own sign of life reaches the broker.
        self.heard: Callable[[], bool] = lambda: True
        breaker = domain.config.server.breaker
        settings = BreakerSettings(breaker.failures, breaker.cool_down, breaker.max_cool_down)
        #: One a handler, for both lanes and the retries: what one of them learns holds for all.
        self._breakers = {each.name: Breaker(each.name, settings) for each in domain.registry.consumers}

    @property
    def connections(self) -> int:
        """How many database connections all threads can hold at the same time."""
        # relays, housekeeping, lookout
        publishing = (len(self._domain.lanes.in_use) + 2) * len(self.providers) if Lane.PRIMARY in self.lanes else 0
        if Lane.PRIMARY in self.lanes:
            publishing += sum(bool(process_managers(self._domain.registry, each)) for each in self.providers)
        subscriptions = len(self.subscribed) - len(self._quiet) + min(len(self._quiet), ATTENDANTS)
        handling = (subscriptions + len(self.providers)) * len(self.lanes)  # and retries
        handling += len(self.foreign.subscribers) + len(self.publishing)
        drained = 1 if drains(self.lanes, self._domain.lanes.enabled) else 0
        return handling + publishing + drained + 4  # dead letters, the probe, the vigil, pauses

    def threads(self) -> Iterator[tuple[str, Run]]:
        """Everything to run, by a name for people; each gets the event that stops it."""
        self._undertaker = Undertaker(self._domain.broker(), self._payload_of)
        if Lane.PRIMARY in self.lanes:  # the relays of both lanes: publishing is production's business
            for lane in self._domain.lanes.in_use:
                for provider in self.providers:
                    name, relay = f"relay of {provider}, {lane} lane", self._relay(provider, lane)
                    self.occupied[name] = relay
                    yield name, relay.run
            for name, run in self.publishing.threads():
                self.occupied[name] = self.publishing.relays[name]
                yield name, run
            yield from self._housekeeping()
        for lane in self.lanes:
            yield from self._lane(lane)
        around = Surroundings(
            self._consumer, self._breakers, self._bury, self._terminate_sessions, self.heard, self._paused
        )
        for name, run in self.foreign.threads(around):
            if name in self.foreign.subscriptions:
                self.occupied[name] = self.foreign.subscriptions[name]
            yield name, run
        # Who is gone is gone from all of them: quiet ones need not be asked where there are others.
        mine = self._groups_on(self.lanes, quiet=False) or self._groups_on(self.lanes, quiet=True)
        vigil = Vigil(self._domain.broker(), self._consumer, mine, self._terminate_sessions, self.heard)
        yield "vigil", vigil.run
        yield self._in_rounds("pauses", self.pauses)
        if drains(self.lanes, self._domain.lanes.enabled):
            yield "lanes of earlier configurations", RetiredLanes(self._domain, self._consumer, self._retired).run
        if Lane.BACKFILL in self.lanes:
            watch = BacklogWatch(
                self._domain.broker(),
                self._gate,
                self._gate.slot(self._role.slots[-1]),
                sorted(self._groups_on((Lane.PRIMARY,), quiet=False)),
                sorted(self._groups_on((Lane.PRIMARY,), quiet=True)),
                paused=partial(self._is_paused, Lane.PRIMARY),
            )
            yield "watch over production's backlog", watch.run

    @property
    def bells(self) -> tuple[str, ...]:
        """The doorbells that somebody here waits for."""
        quiet = sorted(stream for attendants in self._attendants for stream in attendants.streams)
        return (*self.relays, *self.publishing.bells, *map(stream_bell, quiet))

    def wake(self, bell: str) -> None:
        """The doorbell rang."""
        relay = self.relays.get(bell)
        if relay is not None:
            relay.wake()
        self.publishing.wake(bell)
        for attendants in self._attendants:
            for stream in attendants.streams:
                if bell == stream_bell(stream):
                    attendants.call(stream)

    def _housekeeping(self) -> Iterator[tuple[str, Run]]:
        for provider in self.providers:
            yield self._in_rounds(f"housekeeping of {provider}", self.recovering.housekeeping(provider))
            yield self._in_rounds(f"lookout of {provider}", self.recovering.lookout(provider))
        for provider in self.providers:
            if processes := process_managers(self._domain.registry, provider):
                yield self._in_rounds(f"timeouts of {provider}", Timekeeper(self._domain, provider, processes))

    def _lane(self, lane: Lane) -> Iterator[tuple[str, Run]]:
        passage = self._passage(lane)
        shared: list[Subscription] = []
        for number, each in enumerate(self.subscribed):
            slot = self._gate.slot(self._role.slots[number % (SLOTS_PER_PROCESS - 2)])
            subscription = self._subscription(each, lane, slot)
            name = f"{each.handler.name} on {subscription.route.stream}"
            self.subscriptions[name] = subscription
            if each in self._quiet:
                shared.append(subscription)
                continue
            self.occupied[name] = subscription
            yield name, subscription.run
        if shared:
            yield from self._shared(shared, lane)
        for provider in self.providers:
            executors: dict[str, Executor] = {}
            executors |= {e.handler.name: self._executor(e) for e in self.subscribed if e.provider == provider}
            executors |= self.foreign.executors(provider, self._breakers)
            retrier = Retrier(
                self._domain.database(provider),
                lane if self._domain.lanes.enabled else None,
                executors,
                self._bury,
                yield_to_production=passage.wait if passage else at_once,
                paused=partial(self._is_paused, lane),
                signals=self._domain.signals,
            )
            yield self._in_rounds(f"retries of {provider}, {lane} lane", retrier)

    def _shared(self, subscriptions: list[Subscription], lane: Lane) -> Iterator[tuple[str, Run]]:
        attendants = Attendants(self._domain.broker(), subscriptions, self._domain.config.server.tick_interval)
        self._attendants.append(attendants)
        yield f"watch over commands, {lane} lane", attendants.watch
        for number, attendant in enumerate(attendants.workers, 1):
            name = f"commands, {lane} lane, {number}"
            self.occupied[name] = attendant
            yield name, attendant.run

    def _paused(self, handler: str, lane: Lane) -> str | None:
        """Why the handler must rest on that lane, if it must."""
        pause = self.pauses.of(handler, lane.value)
        return (
            None if pause is None else f"paused by {pause.actor} until {pause.expires_at:%H:%M:%S} UTC: {pause.reason}"
        )

    def _is_paused(self, lane: Lane, handler: str) -> bool:
        return self.pauses.of(handler, lane.value) is not None

    def _in_rounds(self, name: str, worker: InRounds) -> tuple[str, Run]:
        self.in_rounds[name] = worker
        return name, worker.run

    def _relay(self, provider: str, lane: Lane) -> Relay:
        lanes, outbox = self._domain.lanes, self._domain.config.outbox
        registry = self._domain.registry
        quiet = {lanes.stream(each.category, lane) for each in self._quiet}

        def route(row: OutboxRow) -> str | None:
            heard = registry.handlers_of(row.category) or row.awaited  # awaited by another release than this one
            return lanes.stream(row.category, lane) if heard else None

        relay = Relay(
            self._domain.database(provider).outbox,
            Announcing(self._domain.broker(), quiet, self._domain.ring),
            lanes.claim(outbox.broker, lane),
            route,
            settings=RelaySettings(
                outbox.messages_per_tick, outbox.tick_interval, 0.0 if lane is Lane.PRIMARY else GATHER
            ),
            slot=self._gate.slot(self._role.slots[-2]) if lanes.enabled and lane is Lane.PRIMARY else None,
            passage=self._passage(lane),
            signals=self._domain.signals,
            telemetry=self._domain.telemetry,
        )
        self.relays[bell_name(provider, lane)] = relay
        return relay

    def _subscription(self, each: Subscribed, lane: Lane, slot: GateSlot, stream: str = "") -> Subscription:
        lanes, server = self._domain.lanes, self._domain.config.server
        where = (stream or lanes.stream(each.category, lane), each.handler.name)
        executor = self._executor(each)
        shares = each in self._quiet and not stream
        batch = min(server.messages_per_tick, TURN) if shares else server.messages_per_tick
        return Subscription(
            LaneRoute(each.handler.name, where[0], lane),
            self._domain.broker(),
            self._consumer,
            executor.execute,
            bury=self._bury,
            bereave=self._terminate_sessions,
            heard=self.heard,
            rests_for=executor.rests_for,
            paused=partial(self._paused, each.handler.name, lane),
            lost=_removed if stream else self.recovering.lost(each.provider, lane),
            slot=slot if lanes.enabled and lane is Lane.PRIMARY else None,
            passage=self._passage(lane),
            late=self.recovering.late(each.provider, lane) if where in self.unmade else None,
            settings=SubscriptionSettings(batch, server.tick_interval, lanes.enabled, waits=not shares),
            signals=self._domain.signals,
        )

    def _retired(self, handler: str, category: str, stream: str) -> Subscription:
        """The subscription that empties a lane of another configuration: as backfill, whatever it once was."""
        each = next(each for each in self.subscribed if (each.handler.name, each.category) == (handler, category))
        subscription = self._subscription(each, Lane.BACKFILL, self._gate.slot(0), stream)
        self.subscriptions[f"{handler} on {stream}"] = subscription
        return subscription

    def _executor(self, each: Subscribed) -> Executor:
        breaker = self._breakers[each.handler.name]
        return Executor(self._domain, each.handler, each.provider, self._domain.retry_policy, breaker)

    def _passage(self, lane: Lane) -> Passage | None:
        if lane is Lane.PRIMARY:
            return None
        return Passage(self._gate, self._domain.config.server.priority_lanes.min_share)

    def _groups_on(self, served: tuple[Lane, ...], *, quiet: bool) -> set[tuple[str, str]]:
        return {
            (self._domain.lanes.stream(each.category, lane), each.handler.name)
            for each in self.subscribed
            for lane in served
            if (each in self._quiet) is quiet
        }

    def _bury(self, failure: Failure) -> None:
        if self._undertaker is None:
            raise ConfigurationError("dead letters need a broker")
        self._undertaker.bury(failure)

    def _payload_of(self, failure: Failure) -> bytes:
        """The envelope of a failure's message: its kept bytes, or made anew from the log."""
        if failure.raw is not None:
            return failure.raw
        for provider in self.providers:
            transaction = self._domain.database(provider).transaction()
            try:
                for message in transaction.log.find([failure.message_id]):
                    return codec.encode(message)
            finally:
                transaction.rollback()
        return b""

    def _terminate_sessions(self, consumer: str) -> None:
        """End what a dead, or only frozen, process holds in the databases before its entries are taken over."""
        for provider in self.providers:
            sessions = self._domain.sessions(provider)
            if sessions is not None:
                sessions.terminate(consumer)


def _removed(_why: str) -> None:
    """A lane of an earlier configuration may be removed by anybody who finds it empty: that is no loss."""
