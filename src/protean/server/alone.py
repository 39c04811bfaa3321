"""An engine that has its process to itself, without a supervisor: it tells its own health."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from protean.server.engine import Engine
from protean.server.health import Health, HealthServer, ProcessHealth
from protean.server.notify import Notifier
from protean.server.output import STOPPED, STOPPING
from protean.server.report import Phase

logger = logging.getLogger(__name__)

#: Seconds between looks at the engine.
LOOK_INTERVAL = 0.1


@contextmanager
def told_of(engine: Engine, host: str, port: int, notifier: Notifier | None = None) -> Iterator[None]:
    """Inside the block the engine's health is told on `port` (0: on none), and to systemd; its end to the log."""

    def health() -> Health:
        report = engine.report()
        return Health(time.monotonic(), report.phase is Phase.DRAINING, [ProcessHealth("engine", report)])

    over = threading.Event()
    teller = threading.Thread(
        target=_tell, args=(health, notifier or Notifier(), engine.grace_period, over), name="notifier", daemon=True
    )
    server = HealthServer(host, port, health) if port else None
    teller.start()
    try:
        yield
    finally:
        over.set()
        if server is not None:
            server.close()
    logger.info(STOPPED)


def _tell(health: Callable[[], Health], notifier: Notifier, grace_period: float, over: threading.Event) -> None:
    """Tell systemd what changes, and the log that the end has begun, until it is over."""
    ready = ending = False
    while not over.wait(LOOK_INTERVAL):
        now = health()
        notifier.alive()
        if not ready and not now.unready:
            ready = True
            notifier.ready()
        if now.draining and not ending:
            ending = True
            notifier.stopping()
            logger.info(STOPPING, grace_period)
        notifier.status(now.unready[0] if now.unready else "serves")
