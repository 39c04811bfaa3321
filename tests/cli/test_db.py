"""`protean db` on real databases."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import psycopg
import pytest
from tests.cli.conftest import Shop

from protean.adapters.sql.tables import framework
from protean.cli.db import OWN_TABLES

TABLES = {"customer", "customer_view", *OWN_TABLES}


def test_every_table_of_the_framework_is_counted_before_it_is_emptied() -> None:
    assert set(OWN_TABLES) == set(framework.tables)


@pytest.mark.proves("protean db setup")
def test_setup_says_what_it_created_and_then_that_there_is_nothing_to_do(shop: Shop, database_url: str) -> None:
    first, second = shop.protean("db", "setup"), shop.protean("db", "setup")

    assert first.returncode == second.returncode == 0
    assert set(first.stdout.strip().removeprefix("default: created ").split(", ")) == TABLES
    assert second.stdout == "default: nothing to do, every table is there\n"
    assert tables(database_url) == TABLES


def test_setup_as_json(shop: Shop) -> None:
    assert set(shop.json("db", "setup")["created"]["default"]) == TABLES
    assert shop.json("db", "setup") == {"created": {"default": []}, "missing_columns": {}, "differing": {}}


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(shop: Shop, database_url: str) -> None:
    shop.env["PROTEAN_ENV"] = "production"
    planned = shop.protean("db", "setup", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    heading, *lines = planned.stdout.splitlines()
    assert heading.split() == ["DATABASE", "ACTION", "TABLE"]
    assert {tuple(line.split()) for line in lines} == {("default", "create", name) for name in TABLES}
    sql = shop.protean("db", "setup", "--dry-run", "--sql").stdout
    assert tables(database_url) == set()

    with psycopg.connect(database_url) as connection:
        connection.execute(sql.encode())
    assert shop.protean("db", "setup", "--dry-run").stdout == "nothing to do, every table is there\n"
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE customer DROP COLUMN email, ADD COLUMN fax text NOT NULL")
    differing = shop.protean("db", "setup", "--dry-run")
    assert differing.returncode == 1
    assert [line.split(maxsplit=3) for line in differing.stdout.splitlines()[1:3]] == [
        ["default", "lacks", "customer", "column email"],
        ["default", "differs", "customer", "column fax is required, and nothing declares it: new rows are refused"],
    ]


@pytest.mark.proves("protean db revision", "protean db upgrade", "protean db current", "protean db history")
def test_tables_of_an_earlier_day_are_brought_up_by_a_revision(shop: Shop, database_url: str) -> None:
    shop.register("Ada")
    assert "nothing to revise, no file was written" in shop.protean("db", "revision", "-m", "nothing").stdout
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE customer DROP COLUMN loyalty_tier; ALTER TABLE handlers DROP COLUMN seen_at")

    written = shop.json("db", "revision", "-m", "Loyalty tiers")["default"]
    assert set(written["changes"]) == {
        "customer: the column loyalty_tier comes",
        "handlers: the column seen_at comes",
    }
    file = Path(written["file"])
    assert file.parent.resolve() == (shop.folder / "alembic" / "default").resolve()
    assert "loyalty_tiers" in file.name
    assert shop.json("db", "current") == {"default": {"current": None, "waiting": 1}}
    assert "ADD COLUMN IF NOT EXISTS loyalty_tier" in shop.protean("db", "upgrade", "--sql").stdout

    upgraded = shop.protean("db", "upgrade")
    assert (upgraded.returncode, upgraded.stdout) == (0, f"default: ran {file.name}\n"), upgraded.stderr
    assert shop.protean("db", "upgrade").stdout == "default: nothing to do\n"
    (listed,) = shop.json("db", "history")["default"]
    assert (listed["message"], listed["applied"]) == ("Loyalty tiers", True)
    assert shop.json("db", "setup") == {"created": {"default": []}, "missing_columns": {}, "differing": {}}


def test_a_field_that_came_later_is_named_with_the_sql_that_adds_its_column(shop: Shop, database_url: str) -> None:
    shop.register("Ada")
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE customer DROP COLUMN loyalty_tier, DROP COLUMN email")

    failed = shop.protean("db", "setup")
    assert failed.returncode == 1
    assert "default: the table customer lacks the columns email, loyalty_tier\n" in failed.stdout
    assert '    ALTER TABLE customer ADD COLUMN loyalty_tier VARCHAR(20) COLLATE "C";\n' in failed.stdout
    asked = shop.protean("db", "setup", "--json")
    (missing,) = json.loads(asked.stdout)["missing_columns"]["default"]
    assert (asked.returncode, missing["table"], missing["columns"]) == (1, "customer", ["email", "loyalty_tier"])
    sql = shop.protean("db", "setup", "--sql")
    assert sql.returncode == 1
    assert sql.stdout.splitlines() == missing["statements"]

    with psycopg.connect(database_url) as connection:
        connection.execute(sql.stdout.encode())
    assert shop.protean("db", "setup").stdout == "default: nothing to do, every table is there\n"
    assert shop.protean("db", "setup", "--sql").stdout == ""


def test_the_server_says_at_its_start_which_columns_are_missing_and_an_error_names_the_command(
    shop: Shop, database_url: str
) -> None:
    shop.protean("db", "setup")
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE customer_view DROP COLUMN loyalty_tier")

    server = shop.server()

    said = server.printed("lacks the column")
    assert "default: the table customer_view lacks the column loyalty_tier" in said
    assert "ALTER TABLE customer_view ADD COLUMN loyalty_tier" in said
    assert server.count("lacks the column") == 1
    shop.register("Ada")
    assert "prints the SQL that adds them" in server.printed('column "loyalty_tier"')


def test_setup_works_in_production_where_opening_a_database_creates_nothing(shop: Shop, database_url: str) -> None:
    shop.env["PROTEAN_ENV"] = "production"
    looked = shop.protean("outbox", "status")
    assert looked.returncode == 1
    assert "`protean db setup` creates missing tables" in looked.stderr

    shop.protean("db", "setup")

    assert tables(database_url) == TABLES
    assert shop.protean("outbox", "status").returncode == 0


@pytest.mark.parametrize("verb", ["drop", "truncate"])
def test_without_a_terminal_and_without_yes_nothing_is_lost(shop: Shop, database_url: str, verb: str) -> None:
    shop.register("Ada")

    done = shop.protean("db", verb)

    assert done.returncode == 2
    assert "add --yes" in done.stderr
    assert rows(database_url, "customer") == 1


@pytest.mark.proves("protean db truncate")
def test_truncate_with_yes_empties_every_table_and_says_how_much_it_was(shop: Shop, database_url: str) -> None:
    shop.register("Ada", "Bob")

    done = shop.protean("db", "truncate", "--yes")

    assert done.returncode == 0
    assert done.stdout == f"emptied {len(TABLES)} tables, 6 rows\n"  # two customers, two messages, two outbox rows
    assert all(rows(database_url, table) == 0 for table in TABLES)


@pytest.mark.proves("protean db drop")
def test_drop_with_yes_drops_every_table(shop: Shop, database_url: str) -> None:
    shop.register("Ada")

    dropped = shop.json("db", "drop", "--yes")["dropped"]

    assert {loss["table"]: loss["rows"] for loss in dropped}["customer"] == 1
    assert {loss["table"] for loss in dropped} == TABLES
    assert tables(database_url) == set()


def test_dropping_what_is_not_there_is_no_failure(shop: Shop) -> None:
    assert shop.protean("db", "drop", "--yes").returncode == 0


@pytest.mark.parametrize(("answer", "left", "code"), [("n\n", 1, 1), ("\n", 1, 1), ("y\n", 0, 0)])
def test_on_a_terminal_the_rows_are_shown_and_the_answer_counts(
    shop: Shop, database_url: str, answer: str, left: int, code: int
) -> None:
    shop.register("Ada")

    ended, shown = on_terminal(shop, answer, "db", "truncate")

    assert ended == code
    assert "identity: 3 rows would be lost." in shown
    assert rows(database_url, "customer") == left


def test_sqlite_is_set_up_and_dropped_too(shop: Shop, folder: Path) -> None:
    shop.env["DATABASE_URL"] = f"sqlite:///{folder / 'shop.db'}"

    assert set(shop.json("db", "setup")["created"]["default"]) == TABLES
    assert len(shop.json("db", "drop", "--yes")["dropped"]) == len(TABLES)


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {name for (name,) in found}


def rows(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
    assert found is not None
    return int(found[0])


def on_terminal(shop: Shop, answer: str, *arguments: str) -> tuple[int, str]:
    """Run a command on a pseudo terminal, type the answer; its exit code and everything that was shown."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        shop.command(*arguments), cwd=shop.folder, env=shop.env, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    os.write(controller, answer.encode())
    shown = b""
    while True:
        try:
            part = os.read(controller, 4096)
        except OSError:  # what Linux says when the last process has left the terminal
            break
        if not part:
            break
        shown += part
    os.close(controller)
    return process.wait(20), shown.decode()
