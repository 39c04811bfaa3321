"""Tables that were made before a field was declared: which columns they lack, and SQL that adds them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest

from protean.adapters.sql.database import SqlDatabase
from protean.exceptions import DatabaseError
from protean.ports.rows import Column, ColumnType, Insert, Table

KEY = Column("id", ColumnType.STRING, 36, required=True)
BEFORE = Table("thing", (KEY,), "id")
AFTER = Table(
    "thing",
    (
        KEY,
        *(Column(f"a {kind}", kind) for kind in ColumnType),
        Column("order", ColumnType.STRING, 20, unique=True),
        Column("email", ColumnType.STRING, 254, required=True),
    ),
    "id",
)
ADDED = tuple(column.name for column in AFTER.columns[1:])


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'things.db'}"
    url: str = request.getfixturevalue("database_url")
    return url


def run(url: str, script: str) -> None:
    """As somebody would who pastes it."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.executescript(script)
        connection.close()
    else:
        with psycopg.connect(url) as session:
            session.execute(script.encode())


def test_what_a_table_lacks_is_found_and_the_sql_adds_it_beside_the_rows_that_are_there(url: str) -> None:
    database = SqlDatabase(url)
    try:
        assert database.lacking([BEFORE]) == []  # a table that is not there lacks nothing: setup makes it whole
        database.setup([BEFORE])
        assert database.lacking([BEFORE]) == []
        run(url, "INSERT INTO thing VALUES ('1')")

        (found,) = database.lacking([AFTER])

        assert (found.table, found.columns) == ("thing", ADDED)
        assert database.setup([AFTER]) == []
        assert database.lacking([AFTER]) == [found], "looking or setting up has changed something"
        run(url, "\n".join(found.statements))
        assert database.lacking([AFTER]) == []
        transaction = database.transaction()
        assert transaction.rows.get(AFTER, "1") == {"id": "1", **dict.fromkeys(ADDED)}
        transaction.rollback()
    finally:
        database.close()


def test_a_required_column_says_that_rows_need_a_value_and_a_unique_one_gets_its_index(url: str) -> None:
    database = SqlDatabase(url)
    try:
        database.setup([BEFORE])
        (found,) = database.lacking([AFTER])
        run(url, "\n".join(line.removeprefix("-- and then: ") for line in found.statements))
    finally:
        database.close()

    assert any(line.startswith("-- email is required") for line in found.statements)
    assert 'CREATE UNIQUE INDEX thing_order_key ON thing ("order");' in found.statements
    run(url, "INSERT INTO thing (id, email, \"order\") VALUES ('1', 'a@b.c', 'x')")
    with pytest.raises((psycopg.errors.UniqueViolation, sqlite3.IntegrityError)):
        run(url, "INSERT INTO thing (id, email, \"order\") VALUES ('2', 'a@b.c', 'x')")
    if url.startswith("postgresql"):
        with pytest.raises(psycopg.errors.NotNullViolation):
            run(url, "INSERT INTO thing (id) VALUES ('3')")


def test_a_key_that_came_later_needs_another_table(url: str) -> None:
    database = SqlDatabase(url)
    try:
        database.setup([BEFORE])
        (found,) = database.lacking([Table("thing", (KEY, Column("name", ColumnType.TEXT)), "name")])
    finally:
        database.close()

    assert found.statements == ("-- name is the key of thing: make the table anew and copy the rows",)


def test_the_error_of_a_missing_column_names_the_command(url: str) -> None:
    database = SqlDatabase(url)
    try:
        database.setup([BEFORE])
        for attempt in (
            lambda transaction: transaction.rows.get(AFTER, "1"),
            lambda transaction: transaction.rows.write([Insert(AFTER, {"id": "1", "email": "a@b.c"})]),
        ):
            transaction = database.transaction()
            with pytest.raises(DatabaseError, match="`protean db setup` says which columns are missing"):
                attempt(transaction)
            transaction.rollback()
    finally:
        database.close()
