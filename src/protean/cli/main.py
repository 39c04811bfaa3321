"""The application: what belongs to no command, and all of them below it."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

try:
    import typer
except ModuleNotFoundError as error:
    # The script is there with the core alone; there is nothing yet that could show an error as others are shown.
    print(f"Error: {error.name} is not installed; pip install 'protean[cli]'", file=sys.stderr)
    raise SystemExit(2) from None

from protean.cli.grammar import Application, examples

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


def main() -> None:
    """Run the command line of this process, and end it."""
    app()
