"""`protean projection`: whether projections are up to date, and making them anew from the log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from protean.cli.grammar import DomainOption, JsonOption, between, examples, group
from protean.cli.opening import opened, require_durable
from protean.cli.output import Table, age, say, show, show_json
from protean.cli.projection_report import ProjectionReport, projection_reports
from protean.clock import utc_now
from protean.domain import Domain
from protean.elements.projection import ProjectionElement
from protean.exceptions import ConfigurationError
from protean.handle.rebuilt import BATCH, RebuildProgress, Rebuilt
from protean.suggestion import did_you_mean
from protean.wording import counted

app = group("See how far projections are, and make them anew from the log.")

#: Seconds between two lines of progress: on a terminal over each other, elsewhere below.
OFTEN, SELDOM = 0.2, 10.0
#: Seconds without a step after which a rebuild is said to have died.
DEAD_AFTER = 60.0

NameArgument = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="The projection's class.", show_default=False)
]
AllOption = Annotated[bool, typer.Option("--all", help="Every projection that has a projector, one after the other.")]
BatchOption = Annotated[
    int, typer.Option("--batch", callback=between(1, 100_000), help="Messages of one transaction at most.")
]

COLUMNS = ("PROJECTION", "ROWS", "PROJECTOR", "LAG", "OLDEST", "WAITING", "DEAD", "BLOCKED")


@app.callback()
def projection() -> None:
    """See how far projections are, and make them anew from the log."""


@app.command(epilog=examples("protean projection status --domain=src/my_domain", "protean projection status --json"))
def status(domain: DomainOption, as_json: JsonOption = False) -> None:
    """Show what each projection's projectors have not applied, by looking through the log.

    \b
    ROWS     rows of its table
    LAG      events that the projector knows and has not applied
    OLDEST   age of the first of them
    WAITING  failed, will be retried
    DEAD     dead letters: gave up, see `protean dlq list`
    BLOCKED  streams held up by a failure
    """
    with opened(domain) as loaded:
        require_durable(loaded)
        reports = projection_reports(loaded)
    if as_json:
        show_json({"projections": [report.as_plain() for report in reports]})
        return
    if not reports:
        say("This domain has no projections.")
        return
    show(_as_table(reports))
    for note in _notes(reports):
        say(note)


@app.command(
    epilog=examples(
        "protean projection rebuild CustomerSummary --domain=src/my_domain",
        "protean projection rebuild --all --batch=2000",
        "protean projection rebuild CustomerSummary --json",
    )
)
def rebuild(
    domain: DomainOption,
    name: NameArgument = None,
    *,
    every: AllOption = False,
    batch: BatchOption = BATCH,
    as_json: JsonOption = False,
) -> None:
    """Make a projection anew from the log, while it is read and kept up to date as before.

    A new table is filled beside the one in use and takes its place in the end. Engines go on, and need no restart.
    What one that was killed has left is found, named and removed.
    """
    if (name is None) is not every:
        raise ConfigurationError("name one projection, or give --all" if name is None else f"give {name} or --all")
    done: list[Rebuilt] = []
    with opened(domain) as loaded:
        require_durable(loaded)
        with loaded.domain_context():
            for each in _chosen(loaded, name):
                rebuilt = loaded.rebuild(each, batch=batch, progress=_teller())
                done.append(rebuilt)
                if not as_json:
                    say(_told(rebuilt))
    if as_json:
        show_json({"rebuilt": [asdict(rebuilt) for rebuilt in done]})


def _chosen(domain: Domain, name: str | None) -> list[type[ProjectionElement]]:
    known = {each.__name__: each for each in domain.registry.projections}
    if name is None:
        kept = {spec.projection for spec in domain.registry.handlers}
        return [each for each in known.values() if each in kept]
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(
            f"{name} is no projection of this domain{did_you_mean(name, known)}; there is: {there}"
        )
    return [known[name]]


def _as_table(reports: Sequence[ProjectionReport]) -> Table:
    rows = []
    for report in reports:
        about = (report.projection, f"{report.rows:,}")
        if not report.projectors:
            rows.append((*about, "none", "-", "-", "-", "-", "-"))
        for each in report.projectors:
            lag = "-" if each.lag is None else f"{each.lag:,}"
            counts = (f"{each.waiting:,}", f"{each.dead:,}", f"{each.blocked:,}")
            rows.append((*about, each.projector, lag, age(each.oldest), *counts))
    return Table(COLUMNS, rows, numeric=frozenset(COLUMNS) - {"PROJECTION", "PROJECTOR"})


def _notes(reports: Sequence[ProjectionReport]) -> list[str]:
    """What the figures alone do not say."""
    found = []
    for report in reports:
        if (rebuild := report.rebuild) is not None:
            silent = (utc_now() - rebuild.stepped_at).total_seconds()
            what = f"{rebuild.done:,} of {rebuild.total:,} messages in {rebuild.shadow}"
            if silent < DEAD_AFTER:
                found.append(f"{report.projection} is being rebuilt: {what}")
            else:
                found.append(
                    f"{report.projection} was being rebuilt until {age(silent)} ago, and that has died: {what}; "
                    f"`protean projection rebuild {report.projection}` begins anew and removes that"
                )
        found += [
            f"{each.projector} is declared with sequenced=False: nobody knows how far it is"
            for each in report.projectors
            if each.lag is None
        ]
    return found


def _told(rebuilt: Rebuilt) -> str:
    text = (
        f"{rebuilt.projection} is rebuilt: {counted(rebuilt.rows, 'row')} from {counted(rebuilt.messages, 'message')} "
        f"in {age(rebuilt.seconds)}"
    )
    if rebuilt.left_over is not None:
        text += f"; an earlier rebuild had died and left the table {rebuilt.left_over}, which is gone"
    if rebuilt.held:
        text += (
            f"; {counted(rebuilt.held, 'stream')} failed as before and stay blocked: see `protean dlq list`, replay "
            "brings them along"
        )
    return text


def _teller() -> Callable[[RebuildProgress], None]:
    """Tell people how far it is, on the error output: the result is what is read on the other."""
    terminal, last = sys.stderr.isatty(), 0.0

    def tell(progress: RebuildProgress) -> None:
        nonlocal last
        if time.monotonic() - last < (OFTEN if terminal else SELDOM) and not progress.exchanging:
            return
        last = time.monotonic()
        typer.echo(_line(progress, terminal=terminal), nl=progress.exchanging or not terminal, err=True)

    return tell


def _line(progress: RebuildProgress, *, terminal: bool) -> str:
    left = "exchanging the tables" if progress.exchanging else f"{age(progress.remaining)} left"
    done = f"{progress.done:,} of {progress.total:,} messages, {progress.rate:,.0f} a second"
    line = f"{progress.projection}: {done}, {left}"
    return f"\r{line:<79}" if terminal else line
