"""What one engine process runs for subscribers: a subscription each, on the brokers whose streams they read.

Only where production is served, since nobody but the writer of a foreign stream knows what of it may wait. Nothing is
trimmed there: others may read it in ways of their own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from protean.deliver.heartbeat import Heartbeat, Sign
from protean.deliver.lanes import Lane
from protean.deliver.subscription import LaneRoute, Subscription, SubscriptionSettings
from protean.domain import Domain
from protean.elements.handlers import SubscriberSpec
from protean.exceptions import BrokerError
from protean.handle.breaker import Breaker
from protean.handle.executor import Executor
from protean.handle.foreign import ForeignExecutor
from protean.ports.progress import Failure

logger = logging.getLogger(__name__)

Run = Callable[[threading.Event], None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the process has for all its subscriptions."""

    consumer: str
    breakers: dict[str, Breaker]
    bury: Callable[[Failure], None]
    bereave: Callable[[str], None]
    heard: Callable[[], bool]
    paused: Callable[[str, Lane], str | None]


class ForeignStreams:
    def __init__(self, domain: Domain, lanes: tuple[Lane, ...]) -> None:
        self._domain = domain
        self._lanes = lanes
        self.main = domain.config.outbox.broker
        self.subscribers = domain.registry.subscribers if Lane.PRIMARY in lanes else ()
        #: By the name of their thread.
        self.subscriptions: dict[str, Subscription] = {}

    @property
    def brokers(self) -> tuple[str, ...]:
        """The brokers beside the domain's own."""
        return tuple(sorted({self.broker_of(each) for each in self.subscribers} - {self.main}))

    def broker_of(self, subscriber: SubscriberSpec) -> str:
        """The name of the broker that a subscriber reads from."""
        return subscriber.broker or self.main

    def groups(self, broker: str) -> set[tuple[str, str]]:
        """Every (stream, group) of subscribers on that broker."""
        return {(each.stream, each.handler.name) for each in self.subscribers if self.broker_of(each) == broker}

    def make_groups(self) -> None:
        """Make what is missing, at the beginning of what is there; on a broker that is away, its subscriptions do."""
        for each in self.subscribers:
            try:
                self._domain.broker(self.broker_of(each)).ensure_group(each.stream, each.handler.name)
            except BrokerError as error:
                logger.warning("The group %s on %s is made later: %s", each.handler.name, each.stream, error)

    def leave(self, consumer: str) -> None:
        """Withdraw from the brokers beside the domain's own. Raises BrokerError."""
        for broker in self.brokers:
            self._domain.broker(broker).leave(consumer, self.groups(broker))

    def executors(self, provider: str, breakers: dict[str, Breaker]) -> dict[str, Executor]:
        """Those that try again what has failed in that database, by handler."""
        return {
            each.handler.name: self._executor(each, breakers) for each in self.subscribers if each.provider == provider
        }

    def threads(self, around: Surroundings) -> Iterator[tuple[str, Run]]:
        """A heartbeat on each broker beside the domain's own, and the subscriptions."""
        heard = {self.main: around.heard}
        for broker in self.brokers:
            heartbeat = self._heartbeat(broker, around.consumer)
            heard[broker] = lambda heartbeat=heartbeat: heartbeat.heard  # type: ignore[misc]  # bound now
            yield f"heartbeat on {broker}", heartbeat.run
        for each in self.subscribers:
            name = f"{each.handler.name} on {each.stream} of {self.broker_of(each)}"
            subscription = self._subscription(each, around, heard[self.broker_of(each)])
            self.subscriptions[name] = subscription
            yield name, subscription.run

    def _heartbeat(self, broker: str, consumer: str) -> Heartbeat:
        def look_anew(_silence: float) -> None:
            for subscription in tuple(self.subscriptions.values()):
                subscription.look_anew()

        sign = Sign(self._domain.name, self._lanes)
        heartbeat = Heartbeat(self._domain.broker(broker), consumer, sign, look_anew)
        heartbeat.beat()
        return heartbeat

    def _subscription(self, each: SubscriberSpec, around: Surroundings, heard: Callable[[], bool]) -> Subscription:
        server = self._domain.config.server
        executor = self._executor(each, around.breakers)
        return Subscription(
            LaneRoute(each.handler.name, each.stream, Lane.PRIMARY),
            self._domain.broker(self.broker_of(each)),
            around.consumer,
            executor.execute,
            bury=around.bury,
            bereave=around.bereave,
            heard=heard,
            rests_for=executor.rests_for,
            paused=partial(around.paused, each.handler.name, Lane.PRIMARY),
            signals=self._domain.signals,
            settings=SubscriptionSettings(server.messages_per_tick, server.tick_interval, trims=False),
        )

    def _executor(self, each: SubscriberSpec, breakers: dict[str, Breaker]) -> ForeignExecutor:
        breaker = breakers[each.handler.name]
        return ForeignExecutor(self._domain, each.handler, each.provider, self._domain.retry_policy, breaker)
