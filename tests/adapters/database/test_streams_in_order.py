"""Appending to several event-sourced streams at once, on PostgreSQL: one after the other, whatever the order given."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from protean.adapters.sql import SqlDatabase
from protean.exceptions import ExpectedVersionError
from protean.testing.contracts.database_steps import BROKER, message, transaction

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"


def test_who_appends_to_the_same_streams_waits_before_writing_to_any(
    postgresql: SqlDatabase, database_url: str
) -> None:
    first = postgresql.transaction()
    first.log.append([message("order-1"), message("order-2")], BROKER, {"order-1": -1, "order-2": -1})

    def second() -> None:
        with transaction(postgresql) as tx:
            tx.log.append([message("order-2"), message("order-1")], BROKER, {"order-2": -1, "order-1": -1})

    with ThreadPoolExecutor(1) as elsewhere, psycopg.connect(database_url, autocommit=True) as watch:
        waits = elsewhere.submit(second)
        deadline = time.monotonic() + 10
        while (row := watch.execute(WAITING).fetchone()) is None or not row[0]:
            assert time.monotonic() < deadline, "nobody waits for the order of streams"
            time.sleep(0.02)
        first.commit()
        with pytest.raises(ExpectedVersionError, match="order-"):
            waits.result(10)
