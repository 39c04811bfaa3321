"""One engine process from start to end."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable

from protean.deliver.gate import LaneGate
from protean.deliver.heartbeat import Heartbeat
from protean.deliver.lanes import Lane
from protean.domain import Domain
from protean.exceptions import BrokerError, ConfigurationError
from protean.server.assembly import Assembly, Role, Run
from protean.server.consumer import consumer_name
from protean.server.output import LANES

logger = logging.getLogger(__name__)
lanes_logger = logging.getLogger(LANES)


#: Seconds between looks whether to stop.
LOOK_INTERVAL = 0.1


class Engine:
    """Runs an initialised domain's handlers. `consumer` is its name in groups, heartbeats and sessions."""

    def __init__(self, domain: Domain, role: Role = Role(), gate: LaneGate | None = None) -> None:
        self.consumer = consumer_name()
        self._domain = domain
        self._role = role
        self._assembly = Assembly(domain, role, gate or LaneGate(), self.consumer)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._stop_listening: Callable[[], None] | None = None

    def run(self) -> bool:
        """Serve until `stop`; whether everything ended within the grace period.

        Raises what prevents the start, or what ended a thread that should have gone on.
        """
        self.start()
        while not self._stopping.is_set():
            time.sleep(LOOK_INTERVAL)  # not wait(): a signal's handler that sets the event would deadlock inside it
        in_time = self.finish()
        if self._failure is not None:
            raise self._failure
        return in_time

    def start(self) -> None:
        """Check the servers, make the groups, be heard, and begin."""
        domain, assembly = self._domain, self._assembly
        if domain.outbox_broker is None:
            raise ConfigurationError(
                "this domain handles events inline, right after commit: there is nothing to serve; name a broker in "
                '[brokers.default] of domain.toml, for instance uri = "embedded"'
            )
        domain.serve_as(self.consumer, assembly.connections)
        broker = domain.broker()
        broker.ping()
        self._check_databases()
        heartbeat = Heartbeat(broker, self.consumer)
        heartbeat.beat()
        for stream, group in sorted(assembly.groups):
            broker.ensure_group(stream, group)
        self._announce()
        self._spawn("heartbeat", heartbeat.run)
        for name, run in assembly.threads():
            self._spawn(name, run)
        if assembly.relays:
            self._stop_listening = broker.listen(tuple(assembly.relays), assembly.wake)
        gc.freeze()  # what is there now stays: collections need not look at it again
        logger.info(
            "Engine %s serves %s: %d handlers",
            self.consumer,
            " and ".join(assembly.lanes),
            len(domain.registry.handlers),
        )

    def stop(self) -> None:
        """Ask everything to end. Transactions under way are finished, nothing new is begun."""
        self._stopping.set()
        for relay in self._assembly.relays.values():
            relay.wake()

    def finish(self) -> bool:
        """Wait for the threads, at most the grace period, and withdraw; whether all ended in time."""
        self.stop()
        if self._stop_listening is not None:
            self._stop_listening()
        deadline = time.monotonic() + self._domain.config.server.grace_period
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        stuck = [thread.name for thread in self._threads if thread.is_alive()]
        if stuck:
            logger.error("Still busy after the grace period, given up: %s", ", ".join(stuck))
            return False
        try:
            self._domain.broker().leave(self.consumer, self._assembly.groups)
        except BrokerError as error:
            logger.warning(
                "%s could not take its leave, its entries are free when its beat expires: %s", self.consumer, error
            )
        self._domain.close()
        return True

    def _check_databases(self) -> None:
        for provider in self._assembly.providers:
            self._domain.database(provider).ping()
            sessions = self._domain.sessions(provider)
            if sessions is None:
                continue
            used, most = sessions.capacity()
            if used + self._assembly.connections > most:
                raise ConfigurationError(
                    f"the {provider} database allows {most} connections and {used} are in use; this process needs up "
                    f"to {self._assembly.connections}: raise max_connections or run fewer workers"
                )

    def _announce(self) -> None:
        """Say, once a server, which lanes there are."""
        lanes = self._domain.lanes
        if not lanes.enabled or self._role.index:
            return
        for each in self._assembly.subscribed:
            lanes_logger.debug(
                "Initialized priority lanes for %s: primary='%s', backfill='%s'",
                each.handler.name,
                lanes.stream(each.category, Lane.PRIMARY),
                lanes.stream(each.category, Lane.BACKFILL),
            )

    def _spawn(self, name: str, run: Run) -> None:
        thread = threading.Thread(target=self._guarded, args=(name, run), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, name: str, run: Run) -> None:
        """A thread that ends before it was asked to takes the process along: a silent lane is the worst of all."""
        try:
            run(self._stopping)
        except BaseException as error:
            logger.critical("The thread `%s` broke down", name, exc_info=error)
            self._failure = error
            self.stop()
