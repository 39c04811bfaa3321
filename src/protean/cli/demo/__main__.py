"""`python -m protean.cli.demo`: the command alone, with errors as the whole command line shows them."""

import sys

import typer

from protean.cli.demo.command import demo
from protean.cli.grammar import Application

app = typer.Typer(cls=Application, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
app.command()(demo)


@app.callback()
def root() -> None:
    """The guide's story on real servers."""


app(["demo", *sys.argv[1:]])
