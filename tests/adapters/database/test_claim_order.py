"""A claim keeps its order whatever plan the database chooses for it, and waits for nobody."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg
import pytest

from protean.adapters.sql import SqlDatabase
from protean.adapters.sql.engine import Timeouts
from protean.ports.outbox import Claim
from protean.ports.progress import FailureFilter
from protean.testing.contracts.database_steps import BROKER, TABLES, append, failure, message, transaction


@pytest.mark.parametrize("refused", [("nestloop", "hashjoin"), ("nestloop", "mergejoin"), ("hashjoin", "mergejoin")])
def test_the_order_of_a_claim_does_not_depend_on_how_the_log_is_joined(
    database_url: str, refused: tuple[str, str]
) -> None:
    name = urlsplit(database_url).path.removeprefix("/")
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as admin:
        for plan in refused:
            admin.execute(f'ALTER DATABASE "{name}" SET enable_{plan} = off'.encode())
    database = SqlDatabase(database_url)
    try:
        database.setup(TABLES)
        append(database, *(message(f"customer-{number % 7}", number * 37 % 5) for number in range(60)))
        with database.outbox.claim(Claim(BROKER, "all"), 50) as batch:
            assert batch is not None
            order = [(-row.priority, row.id) for row in batch.rows]
        assert order == sorted(order)
        assert len(order) == 50
    finally:
        database.close()


def test_a_claim_of_retries_waits_for_nobody(database_url: str) -> None:
    database = SqlDatabase(database_url, timeouts=Timeouts(statement=3.0))
    try:
        database.setup(TABLES)
        with transaction(database) as tx:
            for number in range(4):
                tx.failures.save(failure(f"m-{number}", number - 100))
        first, second = database.transaction(), database.transaction()
        try:
            mine = [each.message_id for each in first.failures.claim(FailureFilter(), 2, 60.0)]
            others = [each.message_id for each in second.failures.claim(FailureFilter(), 9, 60.0)]
        finally:
            second.rollback()
            first.rollback()
        assert (mine, others) == (["m-0", "m-1"], ["m-2", "m-3"])
    finally:
        database.close()


def test_a_claim_of_the_relay_waits_for_nobody(database_url: str) -> None:
    database = SqlDatabase(database_url, timeouts=Timeouts(statement=3.0))
    try:
        database.setup(TABLES)
        append(database, message(), message())
        with psycopg.connect(database_url.replace("+psycopg", "")) as person:
            person.execute("SELECT 1 FROM outbox ORDER BY id LIMIT 1 FOR UPDATE")
            with database.outbox.claim(Claim(BROKER, "all"), 10) as batch:
                assert batch is not None
                assert [row.position for row in batch.rows] == [1]
    finally:
        database.close()
