"""`protean server`: the engine that runs a domain's handlers."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from protean.cli.grammar import DomainOption, between, command, examples
from protean.cli.opening import opened
from protean.cli.serving import MOST_WORKERS, LogLevel, Served, planned, serve
from protean.server.output import log_to_console


def port_number(value: int | None) -> int | None:
    """A check for `--health-port` whose complaint names the number."""
    if value is not None and not 0 <= value <= 65535:
        raise typer.BadParameter(f"{value} must be from 0 to 65535")
    return value


Lanes = Annotated[
    Served, typer.Option("--lanes", case_sensitive=False, help="Serve only this lane here, the other elsewhere.")
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        "-w",
        callback=between(1, MOST_WORKERS),
        help=f"Processes for each lane served, 1 to {MOST_WORKERS}.",
    ),
]
InProcess = Annotated[
    bool, typer.Option("--in-process", help="Everything in this one process, for debuggers and profilers.")
]
HealthPort = Annotated[
    int | None,
    typer.Option(
        "--health-port",
        callback=port_number,
        metavar="PORT",
        help="Tell health here: /livez, /readyz, /healthz; 0 for nowhere. Instead of [server] health_port.",
    ),
]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait for a database or broker that is not up yet, or fail at once.")
]
Level = Annotated[LogLevel, typer.Option("--log-level", case_sensitive=False, help="The least that is logged.")]


def server(
    domain: DomainOption,
    *,
    workers: Workers = 1,
    lanes: Lanes = Served.ALL,
    in_process: InProcess = False,
    wait: Wait = True,
    health_port: HealthPort = None,
    log_level: Level = LogLevel.INFO,
) -> None:
    """Run the engine: publish what was committed, and handle it.

    With priority lanes a worker is two processes, one for production and one for backfills, so that neither
    waits for the other; without, it is one. A process that dies is started again. SIGTERM and Ctrl-C end
    everything in good order, a second time at once. SIGHUP replaces the processes one after the other, with
    the code that is there then.

    Exit code 0: ended in good order. 1: something had failed, or had to be killed. 2: misused or misconfigured.
    """
    log_to_console(log_level.value)
    # Loaded here first: what cannot work is one clear error, before anything runs.
    with opened(domain) as loaded:
        plan = replace(planned(loaded, lanes, workers, in_process), patient=wait, health_port=health_port)
        raise typer.Exit(serve(loaded, domain, plan, log_level))


app = command(
    server,
    epilog=examples(
        "protean server --domain=src/my_domain",
        "protean server --domain=my_app.identity.domain:identity --workers=4",
        "protean server --lanes=backfill --workers=2     only backfills, on another machine",
    ),
)
