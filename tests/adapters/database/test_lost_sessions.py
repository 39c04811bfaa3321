"""PostgreSQL sessions that end, and several statements in one round trip of which one is refused."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from typing import Any

import psycopg
import pytest

from protean.adapters.sql import SqlDatabase
from protean.adapters.sql.engine import DEFAULT_TIMEOUTS, Engine
from protean.adapters.sql.session import PostgresqlSession, session
from protean.exceptions import DatabaseUnavailableError, SessionLostError, TableMissingError
from protean.testing.contracts.database_steps import CUSTOMER, customer, transaction, write

END = "SELECT pg_terminate_backend(pg_backend_pid())"
#: So many that the refusal of the first is there before the last is sent.
MANY = 2_000


@pytest.fixture
def session_of_its_own(database_url: str) -> Iterator[PostgresqlSession]:
    engine = Engine(database_url, pool_size=1, application_name="tests", schema=None, timeouts=DEFAULT_TIMEOUTS)
    opened = session(engine)
    assert isinstance(opened, PostgresqlSession)
    yield opened
    opened.rollback()
    engine.close()


@pytest.mark.parametrize("statements", [2, MANY])
def test_statements_sent_together_to_a_missing_table_say_so_and_nothing_else_is_logged(
    session_of_its_own: PostgresqlSession, caplog: pytest.LogCaptureFixture, statements: int
) -> None:
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            with pytest.raises(TableMissingError, match=r"nowhere.*protean db setup"):
                session_of_its_own.counts([("UPDATE nowhere SET a = %s", ["x" * 100])] * statements)
            session_of_its_own._pooled.driver_connection.rollback()  # type: ignore[union-attr]  # it is there by now
            session_of_its_own._spoiled = False
    assert [record.getMessage() for record in caplog.records if record.name.startswith("psycopg")] == []
    session_of_its_own.rollback()


def test_of_several_refusals_the_first_is_told_and_the_connection_can_be_used_again(
    session_of_its_own: PostgresqlSession, caplog: pytest.LogCaptureFixture
) -> None:
    statements = [("SELECT 1", []), ("SELECT 1 FROM nowhere", []), ("SELECT 1 FROM elsewhere", [])] * 300
    touched: list[int] = []
    with pytest.raises(TableMissingError, match="nowhere"):
        session_of_its_own.counts(statements, lambda number, rows: touched.append(number))
    assert touched == [0]
    session_of_its_own._pooled.driver_connection.rollback()  # type: ignore[union-attr]  # it is there by now
    session_of_its_own._spoiled = False
    assert session_of_its_own.fetch("SELECT 2") == [(2,)]
    session_of_its_own.rollback()
    assert caplog.records == []


def test_a_session_that_ends_between_statements_sent_together_is_told_as_that(
    session_of_its_own: PostgresqlSession, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SessionLostError, match=r"the session with postgresql://.* ended: "):
        session_of_its_own.counts([("SELECT 1", []), (END, []), *[("SELECT 1", [])] * 300])
    session_of_its_own.rollback()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("psycopg")] == []


def test_a_transaction_that_rests_for_too_long_has_lost_its_session(session_of_its_own: PostgresqlSession) -> None:
    session_of_its_own.send("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
    time.sleep(0.5)
    with pytest.raises(SessionLostError):
        session_of_its_own.fetch("SELECT 1")
    session_of_its_own.rollback()


def test_a_database_that_cannot_be_reached_has_lost_no_session() -> None:
    database = SqlDatabase("postgresql://ada@127.0.0.1:1/shop")
    with pytest.raises(DatabaseUnavailableError) as caught:
        database.transaction().positions.lock("h", ["s"])
    assert not isinstance(caught.value, SessionLostError)
    database.close()


def test_after_a_lost_session_the_next_transaction_has_another(postgresql: SqlDatabase) -> None:
    lost: Any = postgresql.transaction()
    with pytest.raises(SessionLostError):
        lost.log._session.fetch(END)
    lost.rollback()
    write(postgresql, customer("1"))
    with transaction(postgresql) as after:
        assert after.rows.get(CUSTOMER, "1") is not None


def test_an_interruption_in_the_middle_of_a_statement_stays_one_and_its_connection_is_not_used_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(database_url, pool_size=1, application_name="tests", schema=None, timeouts=DEFAULT_TIMEOUTS)
    waited = psycopg.waiting.wait

    def interrupted(generator: Generator[Any, Any, Any], *_args: Any, **_options: Any) -> Any:
        """What a signal does that comes after a statement was sent and before its answer is waited for."""
        try:
            next(generator)
        except StopIteration as settled:
            return settled.value
        monkeypatch.setattr(psycopg.waiting, "wait", waited)
        generator.close()
        raise KeyboardInterrupt

    [(before,)] = engine.once("SELECT pg_backend_pid()")
    monkeypatch.setattr(psycopg.waiting, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.once("SELECT 1")

    assert engine.once("SELECT pg_backend_pid()") != [(before,)]
    engine.close()
