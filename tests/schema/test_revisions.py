"""Tables of an earlier day are brought to what is declared, on SQLite and PostgreSQL, while others use them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protean.adapters.sql.database import SqlDatabase
from protean.exceptions import ConfigurationError, NotSupportedError, TransientDatabaseError
from protean.ports.revisions import Revisions
from protean.ports.rows import Column, ColumnType, Index, Insert, Table

ID = Column("id", ColumnType.STRING, 40)
BEFORE = Table(
    "thing",
    (
        ID,
        Column("name", ColumnType.STRING, 20, required=True),
        Column("fax", ColumnType.TEXT, required=True),
        Column("price", ColumnType.DECIMAL),
    ),
    "id",
)
AFTER = Table(
    "thing",
    (
        ID,
        Column("name", ColumnType.STRING, 50, required=True),
        Column("price", ColumnType.DECIMAL),
        Column("tier", ColumnType.STRING, 10, required=True, default="new"),
        Column("code", ColumnType.INTEGER, required=True),
        Column("mail", ColumnType.STRING, 90, unique=True),
    ),
    "id",
    indexes=(Index("thing__tier", ("tier",)), Index("thing__name__code", ("name", "code"), unique=True)),
)
OTHER = Table("other", (ID,), "id")
OLD_ROW = {"id": "1", "name": "n", "fax": "f"}


@pytest.fixture(params=["sqlite", "postgresql"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url: str = request.getfixturevalue("database_url") if request.param == "postgresql" else ""
    return url or f"sqlite:///{tmp_path / 'things.db'}"


@pytest.fixture
def database(uri: str) -> Iterator[SqlDatabase]:
    database = SqlDatabase(uri)
    yield database
    database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "alembic" / "default"


@pytest.fixture
def revisions(database: SqlDatabase, folder: Path) -> Revisions:
    return database.revisions(folder)


def write(database: SqlDatabase, table: Table, row: dict[str, Any]) -> None:
    transaction = database.transaction()
    try:
        transaction.rows.write([Insert(table, row)])
        transaction.commit()
    finally:
        transaction.rollback()


def read(database: SqlDatabase, table: Table) -> dict[str, Any]:
    transaction = database.transaction()
    try:
        return dict(transaction.rows.get(table, "1") or {})
    finally:
        transaction.rollback()


def run(database: SqlDatabase, sql: str) -> None:
    with database._definitions() as connection:
        connection.exec_driver_sql(sql)


def test_tables_of_today_have_nothing_to_revise_and_leave_no_file(
    database: SqlDatabase, revisions: Revisions, folder: Path
) -> None:
    database.setup([AFTER])
    run(database, "CREATE TABLE somebody_elses (id int, x text)")
    run(database, "CREATE INDEX of_an_administrator ON thing (price)")
    revised = revisions.revise([AFTER], "nothing", contract=True)
    assert (revised.file, revised.changes, revised.left) == (None, (), ())
    assert not folder.exists()
    assert revisions.history() == []
    assert revisions.upgrade([AFTER], lock_timeout=5).applied == ()


def test_a_table_is_expanded_filled_and_contracted(database: SqlDatabase, revisions: Revisions) -> None:
    database.setup([BEFORE])
    write(database, BEFORE, OLD_ROW)

    expanded = revisions.revise([AFTER, OTHER], 'tiers "and" codes', contract=False)
    assert set(expanded.changes) == {
        "thing: the column tier comes",
        "thing: the column code comes",
        "thing: the column mail comes",
        "thing: the column fax may be null",
        "thing: the column name becomes VARCHAR(50) (from VARCHAR(20))",
        "thing: the index thing__tier comes",
        "thing: the index thing__name__code comes",
        "thing: the index thing_mail_key comes",
    }
    assert expanded.left == ("thing: the column fax goes, with what is in it",)
    (waiting,) = revisions.history()
    assert (waiting.applied, waiting.message) == (False, "tiers 'and' codes")
    with pytest.raises(ConfigurationError, match="run `protean db upgrade` first"):
        revisions.revise([AFTER], "again", contract=False)

    assert [each.id for each in revisions.upgrade([AFTER], lock_timeout=5).applied] == [waiting.id]
    assert read(database, AFTER) == {
        "id": "1",
        "name": "n",
        "price": None,
        "tier": "new",
        "code": None,
        "mail": None,
    }
    write(database, BEFORE, {**OLD_ROW, "id": "2", "name": "of the old code"})
    new = {"id": "3", "name": "of the new code", "tier": "gold", "code": 3, "mail": "m"}
    write(database, AFTER, new)
    assert revisions.history()[0].applied
    assert (database.lacking([AFTER]), database.differing([AFTER])) == ([], [])

    left = revisions.revise([AFTER], "nothing more", contract=False)
    assert left.file is None
    assert set(left.left) == {
        "thing: the column fax goes, with what is in it",
        "thing: the column code is required, which every row must meet",
    }
    run(database, "UPDATE thing SET code = 7 WHERE code IS NULL")
    contracted = revisions.revise([AFTER], "without fax", contract=True)
    assert set(contracted.changes) == set(left.left)
    revisions.upgrade([AFTER], lock_timeout=5)
    assert revisions.revise([AFTER], "done", contract=True).file is None
    assert [each.applied for each in revisions.history()] == [True, True]
    assert read(database, AFTER)["code"] == 7


def test_the_frameworks_own_tables_are_brought_up_too(database: SqlDatabase, revisions: Revisions) -> None:
    database.setup([])
    run(database, "ALTER TABLE handlers DROP COLUMN seen_at")
    columns = "name, message_type, database, registered_at, start, floor, head"
    moment = "'2026-01-01T00:00:00.000000+00:00'"
    run(database, f"INSERT INTO handlers ({columns}) VALUES ('h', 't', 'default', {moment}, 0, 0, 0)")

    revised = revisions.revise([], "protean of today", contract=False)
    assert revised.changes == ("handlers: the column seen_at comes",)
    revisions.upgrade([], lock_timeout=5)

    assert database.lacking([]) == []
    with database._definitions(changing=False) as connection:
        assert connection.exec_driver_sql("SELECT seen_at IS NOT NULL FROM handlers").scalars().all() == [True]
    assert revisions.revise([], "nothing", contract=True).file is None


def test_a_new_database_is_made_from_the_declarations_and_the_revisions_are_noted(
    uri: str, tmp_path: Path, database: SqlDatabase, revisions: Revisions, folder: Path
) -> None:
    database.setup([BEFORE])
    revisions.revise([AFTER], "tiers", contract=False)
    revisions.upgrade([AFTER], lock_timeout=5)
    database.drop([AFTER])

    database.setup([AFTER])
    upgraded = database.revisions(folder).upgrade([AFTER], lock_timeout=5)

    assert (len(upgraded.applied), len(upgraded.noted)) == (0, 1)
    assert [each.applied for each in revisions.history()] == [True]


def test_columns_that_are_there_already_are_not_added_again(database: SqlDatabase, revisions: Revisions) -> None:
    database.setup([BEFORE])
    revisions.revise([AFTER], "tiers", contract=False)
    run(database, "ALTER TABLE thing ADD COLUMN tier VARCHAR(10)")
    run(database, "CREATE INDEX thing__tier ON thing (tier)")
    assert len(revisions.upgrade([AFTER], lock_timeout=5).applied) == 1
    assert database.lacking([AFTER]) == []


def test_a_database_that_is_ahead_of_the_code_is_told(
    database: SqlDatabase, revisions: Revisions, folder: Path
) -> None:
    database.setup([BEFORE])
    revised = revisions.revise([AFTER], "tiers", contract=False)
    revisions.upgrade([AFTER], lock_timeout=5)
    assert revised.file is not None
    revised.file.unlink()
    with pytest.raises(ConfigurationError, match="newer than this code"):
        revisions.upgrade([AFTER], lock_timeout=5)


def test_two_last_revisions_are_told_apart(database: SqlDatabase, revisions: Revisions) -> None:
    database.setup([BEFORE])
    revised = revisions.revise([AFTER], "tiers", contract=False)
    assert revised.file is not None
    text = revised.file.read_text()
    twin = text.replace(f"revision = {revisions.history()[0].id!r}", "revision = 'abcdef'")
    revised.file.with_name("twin.py").write_text(twin)
    with pytest.raises(ConfigurationError, match="as after a merge of two branches"):
        revisions.upgrade([AFTER], lock_timeout=5)


def test_a_revision_of_another_kind_of_database_is_refused(database: SqlDatabase, revisions: Revisions) -> None:
    database.setup([BEFORE])
    revised = revisions.revise([AFTER], "tiers", contract=False)
    assert revised.file is not None
    other = {"'sqlite'": "'postgresql'", "'postgresql'": "'sqlite'"}
    kind = next(each for each in other if f"kind = {each}" in revised.file.read_text())
    revised.file.write_text(revised.file.read_text().replace(f"kind = {kind}", f"kind = {other[kind]}"))
    with pytest.raises(ConfigurationError, match="make revisions with the kind of database that production has"):
        revisions.upgrade([AFTER], lock_timeout=5)


@pytest.mark.parametrize("uri", ["postgresql"], indirect=True)
class TestOnPostgresql:
    def test_the_sql_alone_does_the_same(self, database: SqlDatabase, revisions: Revisions) -> None:
        database.setup([BEFORE])
        revisions.revise([AFTER], "tiers", contract=False)
        sql = revisions.sql(lock_timeout=5)
        assert "ADD COLUMN IF NOT EXISTS tier" in sql
        assert "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS" in sql
        with database._engine.sa.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in sql.split(";\n"):
                code = "\n".join(line for line in statement.splitlines() if not line.startswith("--")).strip()
                if code:
                    connection.exec_driver_sql(code)
        assert database.lacking([AFTER]) == []
        assert revisions.sql(lock_timeout=5) == ""
        assert revisions.history()[0].applied

    def test_a_table_in_use_is_not_waited_for_and_the_next_run_goes_on(
        self, database: SqlDatabase, revisions: Revisions
    ) -> None:
        database.setup([BEFORE])
        write(database, BEFORE, OLD_ROW)
        revisions.revise([AFTER], "tiers", contract=False)
        report = database.transaction()
        report.rows.get(BEFORE, "1")  # a long reading, behind which everybody would queue
        with pytest.raises(TransientDatabaseError, match="lock timeout") as caught:
            revisions.upgrade([AFTER], lock_timeout=0.1)
        assert "run `protean db upgrade` again" in caught.value.__notes__[0]
        report.rollback()
        assert len(revisions.upgrade([AFTER], lock_timeout=5).applied) == 1

    def test_an_index_is_built_while_others_write(self, database: SqlDatabase, revisions: Revisions) -> None:
        plain = Table("thing", (ID, Column("name", ColumnType.STRING, 20)), "id")
        indexed = Table("thing", plain.columns, "id", indexes=(Index("thing__name", ("name",)),))
        database.setup([plain])
        revisions.revise([indexed], "names", contract=False)
        writer = database.transaction()
        writer.rows.write([Insert(plain, {"id": "1", "name": "n"})])
        upgrading = threading.Thread(target=revisions.upgrade, args=([indexed],), kwargs={"lock_timeout": 0.2})
        upgrading.start()
        while not database._engine.once("SELECT 1 FROM pg_stat_progress_create_index"):
            assert upgrading.is_alive(), "it has not waited for the writer, or not as long as that takes"
        write(database, plain, {"id": "2", "name": "n"})
        writer.commit()
        upgrading.join(60)
        assert revisions.history()[0].applied
        assert database.lacking([indexed]) == []

    def test_an_unfinished_index_is_not_taken_for_one(self, database: SqlDatabase, revisions: Revisions) -> None:
        database.setup([AFTER])
        run(database, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'thing__tier'::regclass")
        run(database, "ALTER TABLE thing DROP COLUMN price")
        revisions.revise([AFTER], "prices", contract=False)
        with pytest.raises(Exception, match="DROP INDEX CONCURRENTLY thing__tier;"):
            revisions.upgrade([AFTER], lock_timeout=5)

    def test_two_upgrades_at_once_are_one(self, uri: str, database: SqlDatabase, revisions: Revisions) -> None:
        database.setup([BEFORE])
        revisions.revise([AFTER], "tiers", contract=False)
        failed: list[Exception] = []

        def upgrade() -> None:
            try:
                revisions.upgrade([AFTER], lock_timeout=5)
            except Exception as error:  # noqa: BLE001  # told in the thread that asks
                failed.append(error)

        threads = [threading.Thread(target=upgrade) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failed == []
        assert database.lacking([AFTER]) == []


@pytest.mark.parametrize("uri", ["sqlite"], indirect=True)
def test_sqlite_tells_no_sql_beforehand(revisions: Revisions) -> None:
    with pytest.raises(NotSupportedError, match="runs them, all or none"):
        revisions.sql(lock_timeout=5)


@pytest.mark.parametrize("uri", ["sqlite"], indirect=True)
def test_on_sqlite_a_revision_that_fails_leaves_nothing_of_itself(database: SqlDatabase, revisions: Revisions) -> None:
    database.setup([BEFORE])
    revised = revisions.revise([AFTER], "tiers", contract=False)
    assert revised.file is not None
    revised.file.write_text(revised.file.read_text() + "    op.execute('SELECT no_such_thing')\n")
    with pytest.raises(Exception, match="no_such_thing"):
        revisions.upgrade([AFTER], lock_timeout=5)
    assert len(database.lacking([AFTER])) == 1
    assert not revisions.history()[0].applied
