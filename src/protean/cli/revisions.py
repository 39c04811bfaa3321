"""`protean db revision`, `upgrade`, `current` and `history`: tables of earlier days brought to today's declarations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from protean.cli.db import app, durable_tables, untouched
from protean.cli.grammar import DomainOption, JsonOption, between, examples
from protean.cli.output import Table as Shown
from protean.cli.output import say, show, show_json
from protean.domain import Domain
from protean.exceptions import NotSupportedError
from protean.ports.revisions import Revisable, Revision, Revisions
from protean.ports.rows import Table

#: The group of `protean db`, to which these commands add themselves.
__all__ = ["app"]

#: The folder of revisions, next to domain.toml; in it one for each database.
FOLDER = "alembic"

MessageOption = Annotated[
    str, typer.Option("--message", "-m", metavar="TEXT", show_default=False, help="What it is for; names the file.")
]
ContractOption = Annotated[
    bool, typer.Option("--contract", help="Also take away what is over, and require what has been filled in.")
]
SqlOption = Annotated[bool, typer.Option("--sql", help="Print the SQL instead of running it. PostgreSQL only.")]
TimeoutOption = Annotated[
    float,
    typer.Option(
        "--lock-timeout",
        metavar="SECONDS",
        callback=between(0.01, 3600),
        help="How long to wait for a table that others use, and have others wait behind.",
    ),
]


@app.command(
    epilog=examples(
        'protean db revision -m "loyalty tiers"',
        'protean db revision -m "without fax" --contract  once no running code reads it',
    )
)
def revision(
    domain: DomainOption, message: MessageOption, contract: ContractOption = False, as_json: JsonOption = False
) -> None:
    """Compare the tables with the declarations, and write what differs into a file for `protean db upgrade`.

    New tables need none: `protean db setup` creates them, and so does `upgrade`. Read the file before it is run.
    """
    with untouched(domain) as loaded:
        done = {
            name: revisions.revise(tables, message, contract=contract) for name, tables, revisions in _databases(loaded)
        }
    if as_json:
        show_json({name: _plain(asdict(each)) for name, each in done.items()})
        return
    for name, each in done.items():
        if each.file is None:
            say(f"{name}: nothing to revise, no file was written")
        else:
            say(f"{name}: wrote {_shown(each.file)}")
        for change in each.changes:
            say(f"    {change}")
        if each.left:
            say("  Left as it is, until no running code needs it and `--contract` is given:")
        for left in each.left:
            say(f"    {left}")


@app.command(
    epilog=examples(
        "PROTEAN_ENV=production protean db upgrade",
        "protean db upgrade --sql > upgrade.sql           for a database administrator",
    )
)
def upgrade(
    domain: DomainOption, sql: SqlOption = False, lock_timeout: TimeoutOption = 5.0, as_json: JsonOption = False
) -> None:
    """Create the tables that are missing, then run the revisions that the database has not been through.

    Servers may run meanwhile. Exit code 1: a table was in use for longer than the lock timeout; what had been run
    stands, and running this again goes on from there.
    """
    with untouched(domain) as loaded:
        if sql:
            for _, _, revisions in _databases(loaded):
                say(revisions.sql(lock_timeout=lock_timeout))
            return
        done: dict[str, dict[str, Any]] = {}
        for name, tables, revisions in _databases(loaded):
            created = loaded.database(name).setup(tables)
            through = revisions.upgrade(tables, lock_timeout=lock_timeout)
            done[name] = {"created": created, **asdict(through)}
    if as_json:
        show_json({name: _plain(each) for name, each in done.items()})
        return
    for name, each in done.items():
        if each["created"]:
            say(f"{name}: created {', '.join(each['created'])}")
        for applied in each["applied"]:
            say(f"{name}: ran {applied['file'].name}")
        if each["noted"]:
            say(f"{name}: the tables are as declared, so nothing was run; {each['noted'][-1]['file'].name} is noted")
        if not any(each.values()):
            say(f"{name}: nothing to do")


@app.command(epilog=examples("protean db current"))
def current(domain: DomainOption, as_json: JsonOption = False) -> None:
    """The last revision that each database has been through, and how many wait."""
    with untouched(domain) as loaded:
        histories = {name: revisions.history() for name, _, revisions in _databases(loaded)}
    found = {
        name: (next((each for each in reversed(history) if each.applied), None), sum(not e.applied for e in history))
        for name, history in histories.items()
    }
    if as_json:
        show_json(
            {name: {"current": last.id if last else None, "waiting": left} for name, (last, left) in found.items()}
        )
        return
    rows = [(name, last.file.name if last else "-", str(left)) for name, (last, left) in found.items()]
    show(Shown(("DATABASE", "CURRENT", "WAITING"), rows, numeric=frozenset({"WAITING"})))


@app.command(epilog=examples("protean db history --json"))
def history(domain: DomainOption, as_json: JsonOption = False) -> None:
    """All revisions, in the order they are run in."""
    with untouched(domain) as loaded:
        found = {name: revisions.history() for name, _, revisions in _databases(loaded)}
    if as_json:
        show_json({name: [_plain(asdict(each)) for each in its] for name, its in found.items()})
        return
    rows = [_row(name, each) for name, its in found.items() for each in its]
    if rows:
        show(Shown(("DATABASE", "REVISION", "", "FILE"), rows))
    else:
        say("no revisions yet; `protean db revision` writes the first when tables differ from the declarations")


def _databases(domain: Domain) -> Iterator[tuple[str, list[Table], Revisions]]:
    """Each database with tables to keep, and its revisions."""
    for name, tables in durable_tables(domain).items():
        database = domain.database(name)
        if not isinstance(database, Revisable):
            raise NotSupportedError(f"the database {name!r} has no revisions; change its tables by its own means")
        database.ping()  # also where there is no revision yet, and so nothing to ask it for
        yield name, tables, database.revisions(domain.config.root / FOLDER / name)


def _row(name: str, revision: Revision) -> tuple[str, ...]:
    return name, revision.id, "applied" if revision.applied else "waits", revision.file.name


def _shown(file: Path) -> str:
    """The file as people would type it from here."""
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
