"""`protean db`: a domain's tables, and the framework's beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from protean.cli.grammar import DomainOption, JsonOption, YesOption, confirm, examples, group
from protean.cli.opening import opened, reading
from protean.cli.output import Table as Shown
from protean.cli.output import counted, plain, say, show_json
from protean.domain import Domain
from protean.exceptions import ConfigurationError, DatabaseError, DatabaseUnavailableError
from protean.ports.database import Database
from protean.ports.query import Query
from protean.ports.rows import Column, ColumnType, Table

app = group("Create, empty or drop the tables of a domain.")

#: The framework's own tables, and a column of each.
OWN_TABLES = {
    "messages": "message_id",
    "outbox": "message_id",
    "positions": "handler",
    "inbox": "handler",
    "handlers": "name",
    "failures": "handler",
}


@dataclass(frozen=True, slots=True)
class Loss:
    """A table, and what is in it: so many rows, or why they cannot be counted."""

    database: str
    table: str
    rows: int | None
    problem: str = ""


@app.command(
    epilog=examples("protean db setup --domain=src/my_domain", "PROTEAN_ENV=production protean db setup --json")
)
def setup(domain: DomainOption, as_json: JsonOption = False) -> None:
    """Create the tables that are missing. What exists is never altered."""
    with untouched(domain) as loaded:
        created = {name: loaded.database(name).setup(tables) for name, tables in durable_tables(loaded).items()}
    if as_json:
        show_json({"created": created})
        return
    for name, tables in created.items():
        say(f"{name}: created {', '.join(tables)}" if tables else f"{name}: nothing to do, every table is there")


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
