"""One for all viewers: asks the servers at most once a second, and only while somebody looks."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from datetime import datetime

from protean.clock import utc_now
from protean.deliver.heartbeat import Sign
from protean.domain import Domain
from protean.exceptions import BrokerError, DatabaseError
from protean.server.lane_report import LaneReport, lane_reports
from protean.server.observatory import figures, judging
from protean.server.observatory.history import History
from protean.server.observatory.snapshot import Snapshot, Worker

logger = logging.getLogger(__name__)

#: Seconds between two looks. Shorter shows changes sooner and asks the servers more often.
INTERVAL = 1.0
#: Times that a look took which are rested after it: of a server that is slow to answer, a tenth of the time is used.
REST = 9.0
LONGEST_REST = 30.0
#: Seconds after the last viewer was heard of until the collector rests.
INTEREST = 5.0


class Collector:
    """Keeps the latest snapshot. `latest` and `changed` may be used from any thread."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._history = History(domain.broker())
        self._latest: Snapshot | None = None
        self._wanted_until = 0.0
        self._fresh_until = 0.0
        self._wake = threading.Event()
        self._fresh = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the domain stays open."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        with self._fresh:
            self._fresh.notify_all()  # nobody waits for a snapshot that will not come

    def latest(self, newer_than: datetime | None = None, patience: float = 10.0) -> Snapshot:
        """A snapshot that is about a second old at most, older where looking takes long.

        Waits up to `patience` seconds for one, or for a newer one.

        Never raises for a server that does not answer: the snapshot says so.
        """
        asked = time.monotonic()
        self._wanted_until = asked + INTEREST
        self._wake.set()
        with self._fresh:
            self._fresh.wait_for(lambda: self._stopping.is_set() or self._is_fresh(newer_than), patience)
            if self._latest is not None and (self._stopping.is_set() or self._is_fresh(newer_than)):
                return self._latest
            return self._outdated(f"the servers have not answered for {patience:g} s")

    def _is_fresh(self, newer_than: datetime | None) -> bool:
        if self._latest is None or time.monotonic() > self._fresh_until:
            return False
        return newer_than is None or self._latest.at > newer_than

    def _run(self) -> None:
        while not self._stopping.is_set():
            if time.monotonic() > self._wanted_until:
                self._wake.wait()
                self._wake.clear()
                continue
            self._stopping.wait(self._look())

    def _look(self) -> float:
        """Look once; seconds of rest until the next time."""
        began = time.monotonic()
        try:
            snapshot = self._ask()
        except (BrokerError, DatabaseError) as error:
            snapshot = self._without_answer(str(error))
        except Exception:
            logger.exception("The collector has failed, and tries again")
            snapshot = self._without_answer("an error of the Observatory's own; its log says which")
        took = time.monotonic() - began
        rest = INTERVAL if snapshot.errors else max(INTERVAL, min(took * REST, LONGEST_REST))
        with self._fresh:
            self._latest = replace(snapshot, took=took)
            self._fresh_until = time.monotonic() + rest + INTERVAL
            self._fresh.notify_all()
        return rest

    def _ask(self) -> Snapshot:
        domain, history = self._domain, self._history
        reports: list[LaneReport] = lane_reports(domain)
        history.refresh()
        now = time.time()
        minute = int(now // 60)
        lanes = figures.lane_figures(reports, history, minute)
        production = figures.production(reports, history, minute)
        backfill = figures.backfill(reports, history, now)
        workers = _workers(domain)
        alerts = judging.alerts(lanes, workers, production)
        return Snapshot(
            at=utc_now(),
            verdict=judging.verdict(production, backfill, alerts),
            production=production,
            backfill=backfill,
            lanes=lanes,
            series=figures.series(reports, history, minute),
            workers=workers,
            alerts=alerts,
        )

    def _without_answer(self, error: str) -> Snapshot:
        if self._latest is None or not self._latest.errors:
            logger.warning("The collector waits: %s", error)
        return self._outdated(error)

    def _outdated(self, error: str) -> Snapshot:
        """What was last known, with the verdict that it may not be so any more."""
        before = self._latest or Snapshot(at=utc_now(), verdict=judging.unknown([error]))
        since = before.failing_since or utc_now()
        return replace(before, at=utc_now(), verdict=judging.unknown([error]), errors=(error,), failing_since=since)


def _workers(domain: Domain) -> list[Worker]:
    """The engine processes of this domain with a sign of life."""
    signs = {name: Sign.from_text(text) for name, text in domain.broker().signs().items()}
    return [
        Worker(name, sign.lanes)
        for name, sign in sorted(signs.items())
        if sign is not None and sign.domain == domain.name
    ]
