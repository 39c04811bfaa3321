"""The application: its commands by section."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from protean.cli import db, dlq, events, lanes, outbox, projection, snapshot
from protean.cli.demo.command import demo
from protean.cli.dev import dev
from protean.cli.grammar import Application, examples
from protean.cli.server import server

RUNNING, LOOKING, TABLES = "Run", "See and mend", "Set up"

app = typer.Typer(
    cls=Application,
    help="Event-driven domain models whose data migrations never block production.",
    epilog=examples(
        "protean dev --domain=src/my_domain              servers and engine, for development",
        "protean server --domain=src/my_domain           the engine, in production",
        "protean lanes status --watch                    what is on its way",
        "protean dlq list                                what failed, and why",
        "export PROTEAN_DOMAIN=src/my_domain             saves repeating --domain",
    )
    + "\n\nExit codes: 0 done, 1 failed, 2 misused or misconfigured. Every list takes --json.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"protean {version('protean')}")
        raise typer.Exit


@app.callback()
def root(
    version_wanted: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors. May stand anywhere on the line.")
    ] = False,
) -> None:
    """Event-driven domain models whose data migrations never block production."""


app.command(
    rich_help_panel=RUNNING,
    epilog=examples(
        "protean server --domain=src/my_domain",
        "protean server --domain=my_app.identity.domain:identity --workers=4",
        "protean server --lanes=backfill --workers=2     only backfills, on another machine",
    ),
)(server)
app.command(rich_help_panel=RUNNING, epilog=examples("protean dev --domain=src/my_domain"))(dev)
app.command(
    rich_help_panel=RUNNING,
    short_help="Migrate 10,000 customers while production goes on, and measure it.",
    epilog=examples("protean demo", "protean demo --customers=2000 --json"),
)(demo)
app.add_typer(db.app, name="db", rich_help_panel=TABLES)
app.add_typer(lanes.app, name="lanes", rich_help_panel=LOOKING)
app.add_typer(outbox.app, name="outbox", rich_help_panel=LOOKING)
app.add_typer(projection.app, name="projection", rich_help_panel=LOOKING)
app.add_typer(dlq.app, name="dlq", rich_help_panel=LOOKING)
app.add_typer(events.app, name="events", rich_help_panel=LOOKING)
app.add_typer(snapshot.app, name="snapshot", rich_help_panel=LOOKING)


def main() -> None:
    """Run the command line of this process, and end it."""
    app()
