"""`protean db`: a domain's tables, and the framework's beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from protean.cli.grammar import FAILED, DomainOption, JsonOption, YesOption, confirm, examples, group
from protean.cli.opening import opened
from protean.cli.output import Table as Shown
from protean.cli.output import plain, say, show, show_json
from protean.domain import Domain
from protean.exceptions import ConfigurationError, DatabaseError, DatabaseUnavailableError
from protean.ports.database import Database, Differing, Lacking, Missing
from protean.ports.query import Query
from protean.ports.rows import Column, ColumnType, Table
from protean.server.asking import reading
from protean.server.lacking import described, differing_of, lacking_of, missing_of
from protean.wording import counted

SqlOption = Annotated[
    bool, typer.Option("--sql", help="Print only the SQL: with --dry-run all of it, else what adds missing columns.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]

app = group("Create, change, empty or drop the tables of a domain.")

#: The framework's own tables, and a column of each.
OWN_TABLES = {
    "messages": "message_id",
    "outbox": "message_id",
    "publications": "message_id",
    "positions": "handler",
    "inbox": "handler",
    "handlers": "name",
    "lanes": "lane",
    "watermarks": "name",
    "reconciliations": "target_broker",
    "failures": "handler",
    "idempotency_keys": "key",
    "command_results": "command_id",
    "rebuilds": "projection",
    "timeouts": "process",
    "pauses": "handler",
    "operations": "id",
}


@dataclass(frozen=True, slots=True)
class Loss:
    """A table, and what is in it: so many rows, or why they cannot be counted."""

    database: str
    table: str
    rows: int | None
    problem: str = ""


@app.command(
    epilog=examples(
        "protean db setup --domain=src/my_domain",
        "protean db setup --dry-run                       what would be done, and what differs",
        "protean db setup --dry-run --sql                 the same as SQL",
        "PROTEAN_ENV=production protean db setup --json",
    )
)
def setup(
    domain: DomainOption, dry_run: DryRunOption = False, sql: SqlOption = False, as_json: JsonOption = False
) -> None:
    """Create the tables that are missing, and say how those that are there differ. What exists is never altered.

    Exit code 1: a table lacks columns or indexes that are declared now, or refuses what is declared. `protean db
    revision` and `protean db upgrade` change it; the SQL that adds what is missing is printed too.
    """
    with untouched(domain) as loaded:
        tables = durable_tables(loaded)
        wanting = missing_of(loaded, tables) if dry_run else {}
        created = {} if dry_run else {name: loaded.database(name).setup(its) for name, its in tables.items()}
        lacking, differing = lacking_of(loaded, tables), differing_of(loaded, tables)
    if as_json:
        made = {name: [asdict(each) for each in its] for name, its in wanting.items()} if dry_run else created
        columns = {name: [asdict(each) for each in its] for name, its in lacking.items()}
        refused = {name: [asdict(each) for each in its] for name, its in differing.items()}
        key = "would_create" if dry_run else "created"
        show_json({key: made, "missing_columns": columns, "differing": refused})
    elif sql:
        for line in (*_statements(wanting), *_statements(lacking)):
            say(line)
    elif dry_run:
        _show_plan(wanting, lacking, differing)
    else:
        for name, its in created.items():
            if its:
                say(f"{name}: created {', '.join(its)}")
            elif name not in lacking and name not in differing:
                say(f"{name}: nothing to do, every table is there")
        _show_differences(lacking, differing)
    if lacking or differing:
        raise typer.Exit(FAILED)


@app.command(epilog=examples("protean db truncate --domain=src/my_domain", "protean db truncate --yes"))
def truncate(domain: DomainOption, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Empty every table, after asking. The broker's streams stay as they are."""
    _destroy(domain, "empty", lambda database, tables: database.truncate(tables), yes, as_json)


@app.command(epilog=examples("protean db drop --domain=src/my_domain", "protean db drop --yes"))
def drop(domain: DomainOption, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Drop every table and what is in it, after asking. The broker's streams stay as they are."""
    _destroy(domain, "drop", lambda database, tables: database.drop(tables), yes, as_json)


@contextmanager
def untouched(path: str) -> Iterator[Domain]:
    """The domain at `path`, whose databases are not set up by being opened: that is what these commands do."""
    with opened(path) as domain:
        domain.config = domain.config.model_copy(update={"create_tables": False})
        yield domain


def durable_tables(domain: Domain) -> dict[str, list[Table]]:
    """The tables by database, those in memory left out. Raises ConfigurationError when no database is left."""
    tables = {
        name: tables for name, tables in domain.tables.items() if domain.config.databases[name].provider != "memory"
    }
    if not tables:
        raise ConfigurationError(
            "every database of this domain is in memory and has no tables to keep; set database_uri in "
            '[databases.default] of domain.toml, for instance to "embedded"'
        )
    return tables


def _statements(found: Mapping[str, Sequence[Lacking | Missing]]) -> list[str]:
    return [line for its in found.values() for each in its for line in each.statements]


def _show_differences(lacking: Mapping[str, Sequence[Lacking]], differing: Mapping[str, Sequence[Differing]]) -> None:
    for name, its in lacking.items():
        for each in its:
            say(described(name, each))
    for name, columns in differing.items():
        for column in columns:
            say(f"{name}: the column {column.column} of the table {column.table} {column.how}")
    if lacking or differing:
        say("What exists is never altered from here: `protean db revision` writes down what would, for `db upgrade`.")
    if lacking:
        say("Or by hand, this adds what is missing:\n")
        for line in _statements(lacking):
            say(f"    {line}")


def _show_plan(
    wanting: Mapping[str, Sequence[Missing]],
    lacking: Mapping[str, Sequence[Lacking]],
    differing: Mapping[str, Sequence[Differing]],
) -> None:
    rows = [(name, "create", each.table, "") for name, its in wanting.items() for each in its]
    for name, its in lacking.items():
        rows += [(name, "lacks", each.table, f"column {column}") for each in its for column in each.columns]
        rows += [(name, "lacks", each.table, f"index {index}") for each in its for index in each.indexes]
    for name, columns in differing.items():
        rows += [(name, "differs", each.table, f"column {each.column} {each.how}") for each in columns]
    if rows:
        show(Shown(("DATABASE", "ACTION", "TABLE", ""), rows))
    else:
        say("nothing to do, every table is there")
    if lacking or differing:
        say("Setup creates tables, and alters none: for what they lack or refuse, run `protean db revision`.")


def losses(domain: Domain, provider: str, tables: Sequence[Table]) -> list[Loss]:
    """Every table of one database and how many rows are in it."""
    own = [Table(name, (Column(column, ColumnType.TEXT),), column) for name, column in OWN_TABLES.items()]
    return [_loss(domain, provider, table) for table in (*tables, *own)]


def _loss(domain: Domain, provider: str, table: Table) -> Loss:
    try:
        with reading(domain, provider) as transaction:
            return Loss(provider, table.name, transaction.rows.count(Query(), table))
    except DatabaseUnavailableError:
        raise
    except DatabaseError as error:
        return Loss(provider, table.name, None, str(error))


def _destroy(path: str, verb: str, act: Callable[[Database, Sequence[Table]], None], yes: bool, as_json: bool) -> None:
    with untouched(path) as domain:
        by_database = durable_tables(domain)
        found = [loss for name, tables in by_database.items() for loss in losses(domain, name, tables)]
        rows = sum(loss.rows or 0 for loss in found)
        if not yes:
            say(plain(_shown(found)), err=True)
            say(f"{domain.name}: {counted(rows, 'row')} would be lost.", err=True)
        confirm(f"Really {verb} these {len(found)} tables?", yes=yes)
        for name, tables in by_database.items():
            act(domain.database(name), tables)
    done = {"empty": "emptied", "drop": "dropped"}[verb]
    if as_json:
        show_json({done: [asdict(loss) for loss in found]})
    else:
        say(f"{done} {counted(len(found), 'table')}, {counted(rows, 'row')}")


def _shown(found: Sequence[Loss]) -> Shown:
    rows = [(loss.database, loss.table, "-" if loss.rows is None else f"{loss.rows:,}", loss.problem) for loss in found]
    return Shown(("DATABASE", "TABLE", "ROWS", ""), rows, numeric=frozenset({"ROWS"}))
