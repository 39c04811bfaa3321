"""Running engines: which processes a server consists of, and the one that stays in this process."""

from __future__ import annotations

import logging
import signal
import sys
from dataclasses import dataclass
from enum import StrEnum

from protean.cli.opening import require_servers
from protean.deliver.gate import SLOTS
from protean.deliver.lanes import Lane
from protean.domain import Domain
from protean.exceptions import ConfigurationError
from protean.server.alone import told_of
from protean.server.asking import providers_of
from protean.server.assembly import SLOTS_PER_PROCESS, Role
from protean.server.engine import Engine
from protean.server.process import SWITCH_INTERVAL, stop_on_signals
from protean.server.supervisor import Order, Supervisor

logger = logging.getLogger(__name__)

#: Pairs of processes that the lane gate has slots for.
MOST_WORKERS = SLOTS // SLOTS_PER_PROCESS // 2


class Served(StrEnum):
    """The choice of `--lanes`."""

    ALL = "all"
    PRIMARY = "primary"
    BACKFILL = "backfill"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Plan:
    """The engines to run: in processes of their own under a supervisor, or the only one in this process.

    `patient`: wait for servers that are not up yet. `health_port` takes the place of the configured one.
    """

    roles: tuple[Role, ...]
    in_process: bool
    patient: bool = True
    health_port: int | None = None


def planned(domain: Domain, served: Served, workers: int, in_process: bool) -> Plan:
    """What to run for these options. Raises ConfigurationError for what cannot work."""
    require_servers(domain)
    lanes = lanes_served(domain, served)
    if in_process and workers > 1:
        raise ConfigurationError(f"--in-process is one process; --workers={workers} needs more: leave one of them out")
    if _on_sqlite(domain):
        if workers > 1 or served is not Served.ALL:
            raise ConfigurationError(
                "SQLite takes one engine process: its writers would wait for each other and relays would publish "
                "twice; leave out --workers and --lanes, or use PostgreSQL"
            )
        if len(lanes) > 1 and not in_process:
            logger.info("SQLite takes one engine process: both lanes run in this one")
        in_process = True
    roles = (Role(lanes),) if in_process else process_roles(lanes, workers)
    return Plan(roles, in_process)


def lanes_served(domain: Domain, served: Served) -> tuple[Lane, ...]:
    """The lanes meant by `--lanes`. Raises ConfigurationError when there is no backfill lane to serve."""
    if served is Served.ALL:
        return domain.lanes.in_use
    if served is Served.BACKFILL and not domain.lanes.enabled:
        raise ConfigurationError(
            "--lanes=backfill: this domain has no backfill lane; set enabled = true in [server.priority_lanes]"
        )
    return (Lane(served.value),)


def process_roles(lanes: tuple[Lane, ...], workers: int) -> tuple[Role, ...]:
    """One process per worker and lane. Indices are unique in a server; those of primary processes are even."""
    return tuple(
        Role((lane,), 2 * worker + (lane is Lane.BACKFILL), first=worker == 0 and lane is lanes[0])
        for worker in range(workers)
        for lane in lanes
    )


def serve(domain: Domain, path: str, plan: Plan, log_level: LogLevel) -> int:
    """Run until told to stop; the exit code. `path` is what the processes find the domain by."""
    server = domain.config.server
    port = server.health_port if plan.health_port is None else plan.health_port
    if plan.in_process:
        return _serve_here(domain, plan, server.health_host, port)
    domain.close()  # the processes have connections of their own
    order = Order(
        domain=path,
        roles=plan.roles,
        grace_period=server.grace_period,
        log_level=log_level.value,
        patient=plan.patient,
        health_host=server.health_host,
        health_port=port,
    )
    return Supervisor(order).run()


def _serve_here(domain: Domain, plan: Plan, host: str, port: int) -> int:
    sys.setswitchinterval(SWITCH_INTERVAL)
    engine = Engine(domain, plan.roles[0], patient=plan.patient)
    stop_on_signals(engine, signal.SIGINT, signal.SIGHUP)
    with told_of(engine, host, port):
        return 0 if engine.run() else 1


def _on_sqlite(domain: Domain) -> bool:
    return any(domain.config.databases[name].provider == "sqlite" for name in providers_of(domain))
