"""`protean server`: the engine that runs a domain's handlers."""

from __future__ import annotations

from typing import Annotated

import typer

from protean.cli.grammar import DomainOption, between
from protean.cli.opening import opened
from protean.cli.serving import MOST_WORKERS, LogLevel, Served, planned, serve
from protean.server.output import log_to_console

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
Level = Annotated[LogLevel, typer.Option("--log-level", case_sensitive=False, help="The least that is logged.")]


def server(
    domain: DomainOption,
    workers: Workers = 1,
    lanes: Lanes = Served.ALL,
    in_process: InProcess = False,
    log_level: Level = LogLevel.INFO,
) -> None:
    """Run the engine: publish what was committed, and handle it.

    With priority lanes a worker is two processes, one for production and one for backfills, so that neither
    waits for the other; without, it is one. A process that dies is started again. SIGTERM and Ctrl-C end
    everything in good order; the exit code is 0 if it was.
    """
    log_to_console(log_level.value)
    # Loaded here first: what cannot work is one clear error, before anything runs.
    with opened(domain) as loaded:
        plan = planned(loaded, lanes, workers, in_process)
        raise typer.Exit(serve(loaded, domain, plan, log_level))
