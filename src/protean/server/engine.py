"""One engine process from start to end."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable

from protean import crash
from protean.deliver.activity import Activity
from protean.deliver.gate import LaneGate
from protean.deliver.heartbeat import Heartbeat, Sign
from protean.deliver.lanes import Lane
from protean.domain import Domain
from protean.exceptions import BrokerError, BrokerUnavailableError, ConfigurationError
from protean.handle import underway
from protean.server.assembly import Assembly, Role, Run
from protean.server.consumer import consumer_name
from protean.server.lacking import say_what_lacks
from protean.server.output import LANES
from protean.server.probe import Probe
from protean.server.report import Phase, ProcessReport, ThreadReport
from protean.server.signalling import Recorder, Signaller
from protean.server.waiting import until_it_answers
from protean.server.watchdog import Watchdog

logger = logging.getLogger(__name__)
lanes_logger = logging.getLogger(LANES)


#: Seconds between looks whether to stop.
LOOK_INTERVAL = 0.1


class Engine:
    """Runs an initialised domain's handlers. `consumer` is its name in groups, heartbeats and sessions.

    `patient`: the start waits for a database or broker that is not up yet, instead of failing.
    """

    def __init__(
        self, domain: Domain, role: Role = Role(), gate: LaneGate | None = None, *, patient: bool = True
    ) -> None:
        self.consumer = consumer_name()
        self._patient = patient
        self._phase, self._phase_since = Phase.STARTING, time.monotonic()
        self._waits_for: str | None = None
        self._probe = Probe(self._ping_databases)
        self._heartbeat: Heartbeat | None = None
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
        """Wait for the servers, make the groups, be heard, and begin; told to stop meanwhile, do not begin."""
        domain, assembly = self._domain, self._assembly
        if domain.outbox_broker is None:
            raise ConfigurationError(
                "this domain handles events inline, right after commit: there is nothing to serve; name a broker in "
                '[brokers.default] of domain.toml, for instance uri = "embedded"'
            )
        domain.serve_as(self.consumer, assembly.connections)
        history = domain.config.observatory.history
        recorder = Recorder(domain.lanes.stream_of, history=history > 0)
        domain.signals = recorder
        if not (
            self._answers("broker", self._ping_broker)
            and self._answers("database", self._check_databases)
            and self._answers("database", assembly.recovering.register)
            and self._answers("database", self._compare_tables)
            and self._answers("database", assembly.pauses.look)
        ):
            return
        broker = domain.broker()
        heartbeat = Heartbeat(broker, self.consumer, Sign(domain.name, assembly.lanes), self._look_anew)
        heartbeat.beat()
        self._heartbeat, assembly.heard = heartbeat, lambda: heartbeat.heard
        self._make_groups()
        assembly.foreign.make_groups()
        self._announce()
        self._spawn("heartbeat", heartbeat.run)
        assembly.in_rounds["signals"] = signaller = Signaller(recorder, broker, self.consumer, history)
        self._spawn("signals", signaller.run)
        self._spawn("watchdog", Watchdog(self._thread_names, domain.config.server.handler_timeout).run)
        self._spawn("question to the databases", self._probe.run)
        for name, run in assembly.threads():
            self._spawn(name, run)
        if assembly.bells:
            self._stop_listening = broker.listen(assembly.bells, assembly.wake)
        gc.freeze()  # what is there now stays: collections need not look at it again
        if not self._stopping.is_set():
            self._enter(Phase.SERVING)
        logger.info(
            "Engine %s serves %s: %d handler%s",
            self.consumer,
            " and ".join(assembly.lanes),
            len(domain.registry.handlers),
            "" if len(domain.registry.handlers) == 1 else "s",
        )

    def stop(self) -> None:
        """Ask everything to end. Transactions under way are finished, nothing new is begun."""
        self._enter(Phase.DRAINING)
        self._stopping.set()
        for relay in self._assembly.relays.values():
            relay.wake()
        self._assembly.publishing.stop_waiting()

    def finish(self) -> bool:
        """Wait for the threads, at most the grace period, and withdraw; whether all ended in time."""
        self.stop()
        if self._heartbeat is None:  # it has not begun
            self._domain.close()
            return True
        for lane in self._assembly.lanes:
            crash.point("shutdown.grace", lane)
        if self._stop_listening is not None:
            self._stop_listening()
        deadline = time.monotonic() + self.grace_period
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        stuck = [thread.name for thread in self._threads if thread.is_alive()]
        if stuck:
            logger.error("Still busy after the grace period, given up: %s", ", ".join(stuck))
            return False
        try:
            foreign = self._assembly.foreign
            self._domain.broker().leave(self.consumer, self._assembly.groups | foreign.groups(foreign.main))
            foreign.leave(self.consumer)
        except BrokerError as error:
            logger.warning(
                "%s could not take its leave, its entries are free when its beat expires: %s", self.consumer, error
            )
        self._domain.close()
        return True

    @property
    def grace_period(self) -> float:
        """Seconds that `finish` waits at most."""
        return self._domain.config.server.grace_period

    def report(self) -> ProcessReport:
        """How it is, from what its threads have left to be read: asks no server and waits for nobody."""
        servers: dict[str, str | None] = {}
        if (heartbeat := self._heartbeat) is not None:
            silent = None if heartbeat.heard else "the last sign of life is too long ago"
            servers = {"broker": heartbeat.complaint or silent, "database": self._probe.complaint}
        return ProcessReport(
            consumer=self.consumer,
            pid=os.getpid(),
            lanes=self._assembly.lanes,
            phase=self._phase,
            since=self._phase_since,
            at=time.monotonic(),
            waits_for=self._waits_for,
            servers=servers,
            threads=tuple(map(self._thread_report, tuple(self._threads))),
        )

    def _thread_report(self, thread: threading.Thread) -> ThreadReport:
        occupied = self._assembly.occupied.get(thread.name)
        activity = occupied.activity if occupied is not None else Activity()
        worker = self._assembly.in_rounds.get(thread.name)
        call = underway.calls().get(thread.ident or 0)
        return ThreadReport(
            name=thread.name,
            alive=thread.is_alive(),
            state=activity.state,
            since=activity.since,
            detail=activity.detail,
            handling=f"{call.handler}, message {call.message_id}" if call is not None else None,
            handling_since=call.since if call is not None else None,
            last_round=worker.rounds.last if worker is not None else None,
        )

    def _thread_names(self) -> dict[int, str]:
        return {thread.ident: thread.name for thread in tuple(self._threads) if thread.ident is not None}

    def _enter(self, phase: Phase) -> None:
        if phase is not self._phase:
            self._phase, self._phase_since = phase, time.monotonic()

    def _answers(self, server: str, ask: Callable[[], None]) -> bool:
        """Whether the server answers, waiting for it if that is allowed; False when told to stop meanwhile."""
        if not self._patient:
            ask()
            return True
        return until_it_answers(server, ask, gave_up=self._stopping.is_set, tell=self._wait_for)

    def _wait_for(self, what: str | None) -> None:
        self._waits_for = what

    def _make_groups(self) -> None:
        """Make the groups that are missing. A broker too full to make one has others that must be read to empty it:
        a subscription makes its own as soon as that is possible."""
        for stream, group in sorted(self._assembly.groups):
            try:
                if self._domain.broker().ensure_group(stream, group):
                    self._assembly.recovering.group_missing(stream, group)
            except BrokerUnavailableError as error:
                if not any(each.name == group for each in self._domain.broker().stream(stream).groups):
                    logger.warning("The group %s on %s is made later: %s", group, stream, error)
                    self._assembly.recovering.group_missing(stream, group)
                    self._assembly.unmade.add((stream, group))

    def _look_anew(self, silence: float) -> None:
        """Others took this process for dead: what it had in hand may be theirs, its database sessions are ended."""
        logger.warning(
            "%s gave no sign of life for %.1f s: others may have taken over what it had in hand; looking anew",
            self.consumer,
            silence,
        )
        foreign = self._assembly.foreign.subscriptions
        for subscription in (*self._assembly.subscriptions.values(), *foreign.values()):
            subscription.look_anew()

    def _ping_broker(self) -> None:
        self._domain.broker().ping()

    def _ping_databases(self) -> None:
        for provider in self._assembly.providers:
            self._domain.database(provider).ping()

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

    def _compare_tables(self) -> None:
        if self._role.first:  # once a server
            say_what_lacks(self._domain)

    def _announce(self) -> None:
        """Say, once a server, which lanes there are."""
        lanes = self._domain.lanes
        if not lanes.enabled or not self._role.first:
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
