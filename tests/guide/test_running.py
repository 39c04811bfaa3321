"""Running the migration: the dry run, the run beside production, and the stream that returns to 0."""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass

import pytest
from tests.guide.application import BOTH_LANES, PATIENCE, PRODUCTION, SCRIPT, Application
from tests.guide.redis_cli import READERS, Reader
from tests.guide.text import block, shape

CUSTOMERS = 350
DURING = 25
TABLES = ("customer", "customer_view", "messages", "outbox", "positions", "failures")


@dataclass(frozen=True)
class Migrated:
    """What a migration of all customers left behind, production going on beside it."""

    app: Application
    printed: list[str]
    added_before: list[int]


@pytest.fixture(scope="module")
def served(shared: Application) -> Application:
    """Customers who are in the read model already, and a server."""
    shared.register(CUSTOMERS)
    shared.server()
    shared.drain()
    return shared


@pytest.fixture(scope="module")
def migrated(served: Application) -> Migrated:
    added = [served.ever_added(stream) for stream in BOTH_LANES]
    production = served.start(sys.executable, "-c", PRODUCTION, str(DURING), "0.02", "During")
    (command,) = block("Step 2: Run the Migration").commands
    printed = as_printed(served, command)
    assert production.ended(PATIENCE) == 0
    served.drain()
    return Migrated(served, printed, added)


def test_a_dry_run_prints_what_it_would_do_and_writes_nothing(served: Application) -> None:
    (command,) = block("Step 1: Run a Dry Run").commands
    before = fingerprint(served), [served.ever_added(stream) for stream in BOTH_LANES]

    printed = as_printed(served, command)

    expected = block("Step 1: Run a Dry Run", 1).text.splitlines()
    assert len(printed) == len(expected) == 2
    assert all(shape(line).fullmatch(found) for line, found in zip(expected, printed, strict=True)), printed
    assert printed[0].endswith(f" INFO Found {CUSTOMERS} customers to migrate")
    assert (fingerprint(served), [served.ever_added(stream) for stream in BOTH_LANES]) == before


def test_the_run_prints_its_progress_every_hundred_and_its_completion(migrated: Migrated) -> None:
    found, progress, _, dots, complete = block("Step 2: Run the Migration", 1).text.splitlines()
    assert dots == "..."

    assert shape(found).fullmatch(migrated.printed[0])
    assert all(shape(progress).fullmatch(line) for line in migrated.printed[1:-1]), migrated.printed
    assert shape(complete).fullmatch(migrated.printed[-1])
    total = int(migrated.printed[0].split()[-4])
    assert CUSTOMERS <= total <= CUSTOMERS + DURING
    seen = [int(re.findall(r"Progress: (\d+)/", line)[0]) for line in migrated.printed[1:-1]]
    assert seen[:3] == [100, 200, 300]
    assert ", 0 errors, " in migrated.printed[-1]


def test_the_migrations_rows_have_the_priority_of_the_backfill_lane_and_productions_have_not(
    migrated: Migrated,
) -> None:
    found = dict(migrated.app.sql("SELECT priority, array_agg(DISTINCT type) FROM outbox GROUP BY 1"))

    assert found == {-50: ["CustomerUpdated"], 0: ["CustomerRegistered"]}


def test_the_migrations_events_took_the_backfill_stream_and_no_other(migrated: Migrated) -> None:
    events = migrated.app.one("SELECT count(*) FROM outbox WHERE priority = -50")
    added = [migrated.app.ever_added(stream) for stream in BOTH_LANES]

    assert events >= CUSTOMERS
    assert [after - before for after, before in zip(added, migrated.added_before, strict=True)] == [DURING, events]


@pytest.mark.parametrize("read", READERS)
def test_the_backfill_stream_returns_to_zero(migrated: Migrated, read: Reader) -> None:
    (command,) = block("Step 3: Verify Completion").commands

    assert read(migrated.app.broker_url, command) == ["0"]


def test_every_customer_has_a_tier_that_the_read_model_shows(migrated: Migrated) -> None:
    app = migrated.app
    wrong = app.sql(
        "SELECT id, lifetime_spend, loyalty_tier FROM customer WHERE name NOT LIKE 'During%%' AND loyalty_tier "
        "IS DISTINCT FROM CASE WHEN lifetime_spend >= 10000 THEN 'platinum' WHEN lifetime_spend >= 5000 THEN 'gold' "
        "WHEN lifetime_spend >= 1000 THEN 'silver' ELSE 'bronze' END".replace("%%", "%")
    )

    assert wrong == []
    assert app.stale() == []
    assert app.one("SELECT count(*) FROM customer_view") == CUSTOMERS + DURING


def test_the_migration_can_be_run_again(migrated: Migrated) -> None:
    again = as_printed(migrated.app, f"python {SCRIPT}")

    assert re.search(rf"Migration complete: {CUSTOMERS + DURING}/{CUSTOMERS + DURING} migrated, 0 errors", again[-1])
    migrated.app.drain()  # the stream alone is empty between two batches of the relay as well
    assert migrated.app.length("customer:backfill") == 0
    assert migrated.app.stale() == []


def as_printed(app: Application, command: str) -> list[str]:
    """What a `python …` line of the guide prints."""
    python, *arguments = command.split()
    assert python == "python"
    return app.python(*arguments).stderr.splitlines()


def fingerprint(app: Application) -> dict[str, str]:
    """A digest of each table's rows."""
    return {
        table: hashlib.sha256(repr(app.sql(f"SELECT t::text FROM {table} t ORDER BY 1")).encode()).hexdigest()
        for table in TABLES
    }
