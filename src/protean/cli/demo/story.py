"""The guide's story in acts: customers, server, idle, migrating, draining, after."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from protean.cli.demo.application import DOMAIN, Application
from protean.cli.demo.children import Child, answers_http, free_port, wait_until
from protean.cli.demo.display import Display
from protean.cli.demo.lanes import NOTHING, State, look
from protean.cli.demo.load import Orders
from protean.cli.demo.samples import Measured, Phases, Sample, read_samples
from protean.cli.demo.verification import Comparison, verify
from protean.cli.demo.workspace import logs_folder

#: Production requests a second.
RATE = 20.0
#: Seconds of production alone, before and after, for so many customers; fewer have shorter ones.
QUIET, QUIET_LEAST, QUIET_CUSTOMERS = 15.0, 4.0, 10_000
#: Seconds between looks at the lanes. More often would be more work for the servers under test.
LOOK_EVERY = 0.25
#: Seconds that processes may take to start, the registrations to drain, and the last requests after them.
START_PATIENCE, DRAIN_PATIENCE, SETTLE_PATIENCE = 60.0, 300.0, 30.0

#: The example's migration script.
MIGRATION = "migrate_tiers.py"


@dataclass(slots=True)
class Recorded:
    """Everything a run leaves to be judged.

    `looks` are states of the lanes over time, by seconds since the epoch; `load_average` is the machine's, over the
    migration's last minute.
    """

    customers: int
    phases: Phases = field(default_factory=Phases)
    looks: list[tuple[float, State]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    load_average: float = 0.0
    end: State = NOTHING
    comparison: Comparison = field(default_factory=Comparison)


class Story:
    """One run in `folder`, a copy of the example; `display` tells what happens."""

    def __init__(self, application: Application, folder: Path, display: Display) -> None:
        self._application = application
        self._folder = folder
        self._logs = logs_folder(folder)
        self._display = display

    def tell(self, customers: int) -> Recorded:
        """All acts. Raises ChildDiedError or ProteanError when one could not be played."""
        self._register(customers)
        record = Recorded(customers)
        with self._server() as server, self._api() as (port, api):
            self._drain_registrations(customers, server)
            with self._production(port) as production:
                self._play(record, [server, api, production])
                self._display.say("Production pauses; waiting until everything is handled")
            record.samples = read_samples(self._samples)
            record.end = self._settle(server)
            self._display.say("Comparing the read model with the aggregates, row by row")
            record.comparison = verify(self._application)
            record.measured = self._application.measured(record.samples)
            self._display.say("Ending server and API")
        return record

    def _register(self, customers: int) -> None:
        self._application.domain.database().ping()
        self._application.domain.broker().ping()
        self._display.say(f"Both are up. Registering {customers:,} customers, 200 in a unit of work")
        began = time.monotonic()
        with self._display.bars(customers, "written") as bars:
            for done in self._application.register(customers):
                bars.show(done)
        self._display.say(f"Registered, {customers / (time.monotonic() - began):,.0f} customers a second")

    @contextmanager
    def _server(self) -> Iterator[Child]:
        arguments = ["-m", "protean.cli", "server", f"--domain={DOMAIN}"]
        with Child("server", arguments, self._folder, self._logs) as server:
            self._display.say(f"Started `protean server --domain={DOMAIN}` (pid {server.pid})")
            yield server

    @contextmanager
    def _api(self) -> Iterator[tuple[int, Child]]:
        port = free_port()
        where = ["--host", "127.0.0.1", "--port", str(port)]
        quiet = ["--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "60"]
        with Child("api", ["-m", "uvicorn", "my_app.api:app", *where, *quiet], self._folder, self._logs) as api:
            patience = START_PATIENCE
            wait_until(lambda: answers_http(port), what="the API to answer", patience=patience, needs=[api])
            self._display.say(f"Started the API on http://127.0.0.1:{port} (pid {api.pid})")
            yield port, api

    def _drain_registrations(self, customers: int, server: Child) -> None:
        self._display.say("Waiting until the read model shows all of them")
        began = time.monotonic()
        with self._display.bars(customers, "handled") as bars:

            def drained() -> bool:
                state = look(self._application.domain)
                bars.show(state.primary.handled)
                return state.drained

            wait_until(drained, what="the registrations to drain", patience=DRAIN_PATIENCE, needs=[server])
        self._display.say(f"Read model ready, {customers / (time.monotonic() - began):,.0f} events a second")

    @contextmanager
    def _production(self, port: int) -> Iterator[Child]:
        orders = Orders(port, RATE, str(self._folder), str(self._samples))
        arguments = ["-m", "protean.cli.demo.load", orders.to_json()]
        with Child("production", arguments, self._folder, self._logs) as production:

            def sending() -> bool:
                return self._samples.exists() and self._samples.stat().st_size > 0

            wait_until(sending, what="the first request", patience=START_PATIENCE, needs=[production])
            self._display.say(f"Production: {RATE:.0f} requests a second over HTTP, from now on (pid {production.pid})")
            time.sleep(1)  # what only the first requests pay for: connections, imports, plans
            yield production
            production.end()
            production.ended()

    def _play(self, record: Recorded, running: Sequence[Child]) -> None:
        quiet = quiet_seconds(record.customers)
        self._display.say(f"Idle: {quiet:.0f} s of production alone")
        self._rest(record, "idle", quiet, running)
        self._migrate(record, running)
        self._display.say(f"After: {quiet:.0f} s of production alone")
        self._rest(record, "after", quiet, running)
        record.phases.finish(time.time())

    def _rest(self, record: Recorded, phase: str, seconds: float, running: Sequence[Child]) -> None:
        """Look as often as in the other phases, so that what the demo itself costs is the same in all of them."""
        record.phases.begin(phase, time.time())
        until = time.monotonic() + seconds
        with self._display.bars(round(seconds), "seconds") as bars:
            for _ in self._looks(record, running):
                left = until - time.monotonic()
                bars.show(round(seconds - max(left, 0)), note=self._production_now())
                if left <= 0:
                    return

    def _migrate(self, record: Recorded, running: Sequence[Child]) -> None:
        total = self._application.customers()
        record.phases.begin("migrating", time.time())
        migration = Child("migration", [MIGRATION], self._folder, self._logs)
        with migration:
            self._display.say(f"Migrating: `python {MIGRATION}` (pid {migration.pid}); production goes on")
            self._follow(record, migration, total, running)

    def _follow(self, record: Recorded, migration: Child, total: int, running: Sequence[Child]) -> None:
        """Until everything the migration wrote is handled."""
        draining = False
        with self._display.bars(total, "written", "handled") as bars:
            for state in self._looks(record, running):
                bars.show(state.backfill.written, state.backfill.handled, note=self._production_now())
                if draining and not state.backfill.waiting:
                    return
                if not draining and migration.ended():
                    draining = True
                    record.load_average = os.getloadavg()[0]
                    record.phases.begin("draining", time.time())

    def _looks(self, record: Recorded, running: Sequence[Child]) -> Iterator[State]:
        """States of the lanes, recorded, one every `LOOK_EVERY` seconds, for as long as everything runs."""
        while True:
            for child in running:
                child.must_run()
            state = look(self._application.domain)
            record.looks.append((time.time(), state))
            yield state
            time.sleep(LOOK_EVERY)

    def _production_now(self) -> str:
        seconds = [s.visible - s.scheduled for s in read_samples(self._samples, last=40) if s.visible is not None]
        if not seconds:
            return ""
        return f"production: at most {max(seconds) * 1000:.0f} ms from request to read model"

    def _settle(self, server: Child) -> State:
        """The state in which nothing is left to do, or the one that was given up on."""
        until = time.monotonic() + SETTLE_PATIENCE
        while not (state := look(self._application.domain)).drained and time.monotonic() < until:
            server.must_run()
            time.sleep(0.1)
        return state

    @property
    def _samples(self) -> Path:
        return self._logs / "samples.jsonl"


def quiet_seconds(customers: int) -> float:
    """How long production is watched alone: enough for percentiles, shorter in a short demo."""
    return min(max(QUIET * customers / QUIET_CUSTOMERS, QUIET_LEAST), QUIET)
