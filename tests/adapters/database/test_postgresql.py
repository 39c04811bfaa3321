"""What only PostgreSQL has: plans, sessions, deadlocks, and backends that die."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from protean.adapters.sql import SqlDatabase, floors, outbox, republishing
from protean.adapters.sql.engine import Timeouts
from protean.adapters.sql.tables import framework
from protean.adapters.sql.unhandled import UNPUBLISHED, unhandled
from protean.exceptions import (
    ConfigurationError,
    DatabaseError,
    DatabaseUnavailableError,
    TransientDatabaseError,
)
from protean.ports.outbox import Claim
from protean.ports.query import Query
from protean.ports.recovery import Interest
from protean.ports.rows import Column, ColumnType, Table, Update
from protean.testing.contracts.database_steps import (
    BROKER,
    CUSTOMER,
    TABLES,
    append,
    customer,
    message,
    transaction,
    write,
)

PUBLISHED = """
WITH logged AS (
    INSERT INTO messages (message_id, stream_name, position, stream_category, type, kind, data, metadata, time)
    SELECT gen_random_uuid(), 'old-' || n, 0, 'old', 'Old', 'event', '{}', '{}', now()
    FROM generate_series(1, 200000) n RETURNING message_id, global_position
)
INSERT INTO outbox (message_id, global_position, stream_name, type, priority, status, published_at, target_broker)
SELECT message_id, global_position, 'old', 'Old', 0, 'published', now(), 'default' FROM logged
"""


@pytest.fixture
def admin(database_url: str) -> Any:
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


def test_a_claim_does_not_look_at_published_rows(postgresql: SqlDatabase, admin: Any) -> None:
    admin.execute(PUBLISHED)
    admin.execute("ANALYZE outbox")
    append(postgresql, *(message(priority=n % 3) for n in range(100)))
    for statement, values in (
        (outbox._CLAIM_POSTGRESQL, ("2000-01-01", BROKER, 0, 2**31, "2040-01-01", 1000, BROKER, "all")),
        (outbox._WAITING, (BROKER, -(2**31), 2**31, "2040-01-01")),
    ):
        explained = admin.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {statement}", values).fetchall()
        plan = "\n".join(line for (line,) in explained)
        assert "outbox_pending" in plan, plan
        assert "Seq Scan on outbox" not in plan, plan
        assert "Rows Removed by Filter" not in plan, plan
    with postgresql.outbox.claim(Claim(BROKER, "all"), 1000) as batch:
        assert batch is not None
        assert len(batch.rows) == 100


def test_the_guides_own_sql_works(postgresql: SqlDatabase, admin: Any) -> None:
    first, second = message("customer-1", -50), message("customer-2", 0)
    append(postgresql, first)
    append(postgresql, second)
    rows = admin.execute(
        "SELECT message_id, priority, stream_name FROM outbox ORDER BY created_at DESC LIMIT 10"
    ).fetchall()
    assert [(str(id_), *rest) for id_, *rest in rows] == [(second.id, 0, "customer"), (first.id, -50, "customer")]


def test_a_claim_locks_its_rows_and_skips_those_of_others(postgresql: SqlDatabase, admin: Any) -> None:
    append(postgresql, message(), message())
    with admin.transaction():
        admin.execute("SELECT 1 FROM outbox ORDER BY id LIMIT 1 FOR UPDATE")
        with postgresql.outbox.claim(Claim(BROKER, "all"), 10) as batch:
            assert batch is not None
            assert [row.position for row in batch.rows] == [1]
            taken = admin.execute("SELECT id FROM outbox FOR UPDATE SKIP LOCKED").fetchall()
            assert len(taken) == 1


def test_a_long_transaction_elsewhere_delays_no_claim(postgresql: SqlDatabase, admin: Any) -> None:
    append(postgresql, message())
    with admin.transaction():
        admin.execute("INSERT INTO inbox VALUES ('h', gen_random_uuid(), now(), 1)")
        append(postgresql, message())
        with postgresql.outbox.claim(Claim(BROKER, "all"), 10) as batch:
            assert batch is not None
            assert len(batch.rows) == 2


def test_a_relay_that_freezes_loses_its_session_and_its_lane(
    postgresql: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "IDLE_TIMEOUT", 0.2)
    append(postgresql, message())
    claim = Claim(BROKER, "all")
    with pytest.raises(DatabaseUnavailableError), postgresql.outbox.claim(claim, 10) as frozen:  # noqa: PT012 -- the story
        assert frozen is not None
        time.sleep(1)  # the broker hangs
        with postgresql.outbox.claim(claim, 10) as successor:
            assert successor is not None
            successor.published([row.id for row in successor.rows])
        frozen.published([row.id for row in frozen.rows])
    assert not postgresql.outbox.waiting(claim)


def test_asking_whether_rows_wait_opens_no_transaction(postgresql: SqlDatabase, admin: Any) -> None:
    assert not postgresql.outbox.waiting(Claim(BROKER, "all"))
    state, query = admin.execute(
        "SELECT state, query FROM pg_stat_activity WHERE application_name = 'tests' ORDER BY state_change DESC LIMIT 1"
    ).fetchone()
    assert state == "idle"
    assert query.startswith("SELECT EXISTS")


def test_sessions_are_ended_by_name(postgresql: SqlDatabase, database_url: str) -> None:
    frozen = SqlDatabase(database_url, application_name="frozen")
    tx = frozen.transaction()
    tx.positions.lock("h", ["customer-1"])
    assert postgresql.terminate("nobody") == 0
    elsewhere = make_conninfo(database_url.replace("+psycopg", ""), dbname="postgres", application_name="frozen")
    with psycopg.connect(elsewhere) as other_database:
        assert postgresql.terminate("frozen") == 1
        other_database.execute("SELECT 1")
    with transaction(postgresql) as mine:
        mine.positions.lock("h", ["customer-1"])
    with pytest.raises(DatabaseUnavailableError):  # noqa: PT012 -- sent at once or with the commit
        tx.positions.move("h", {"customer-1": 9})
        tx.commit()
    tx.rollback()
    with transaction(postgresql) as mine:
        assert mine.positions.lock("h", ["customer-1"])["customer-1"].position == -1
    frozen.close()
    used, most = postgresql.capacity()
    assert 0 < used < most


def test_after_a_restart_idle_connections_are_replaced_unseen(postgresql: SqlDatabase, admin: Any) -> None:
    open_at_once = [postgresql.transaction() for _ in range(3)]
    for tx in open_at_once:
        tx.rows.count(Query(), CUSTOMER)
    for tx in open_at_once:
        tx.commit()
    end_sessions(admin)
    for _ in range(5):
        write(postgresql)
        with transaction(postgresql) as tx:
            assert tx.rows.count(Query(), CUSTOMER) == 0
        assert not postgresql.outbox.waiting(Claim(BROKER, "all"))


def test_a_backend_that_dies_costs_its_transaction_and_no_other(postgresql: SqlDatabase, admin: Any) -> None:
    tx = postgresql.transaction()
    tx.rows.write([customer("1")])
    end_sessions(admin)
    with pytest.raises(DatabaseUnavailableError, match=r"session with postgresql://.* ended: .*administrator command"):
        tx.rows.write([customer("2")])
    tx.rollback()
    write(postgresql, customer("1"))


def test_a_deadlock_is_worth_repeating(postgresql: SqlDatabase) -> None:
    write(postgresql, customer("1"), customer("2"))
    both = threading.Barrier(2)

    def cross(first: str, second: str) -> bool:
        tx = postgresql.transaction()
        try:
            tx.rows.write([Update(CUSTOMER, first, {"age": 1})])
            both.wait(5)
            tx.rows.write([Update(CUSTOMER, second, {"age": 2})])
            tx.commit()
        except TransientDatabaseError:
            return False
        finally:
            tx.rollback()
        return True

    with ThreadPoolExecutor() as pool:
        assert sorted(pool.map(cross, "12", "21")) == [False, True]


def test_two_writers_of_one_stream_without_its_lock_are_told_to_repeat(postgresql: SqlDatabase, admin: Any) -> None:
    first = postgresql.transaction()
    first.log.append([message("customer-1")], BROKER)
    with ThreadPoolExecutor() as pool:
        second = pool.submit(append, postgresql, message("customer-1"))
        while not admin.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0]:
            time.sleep(0.01)
        first.commit()
        with pytest.raises(TransientDatabaseError, match="same stream"):
            second.result(timeout=10)


def test_a_statement_that_takes_too_long_is_ended(database_url: str, postgresql: SqlDatabase) -> None:
    hasty = SqlDatabase(database_url, timeouts=Timeouts(statement=0.2))
    holder = postgresql.transaction()
    holder.positions.lock("h", ["customer-1"])
    tx = hasty.transaction()
    with pytest.raises(TransientDatabaseError, match="statement timeout"):
        tx.positions.lock("h", ["customer-1"])
    tx.rollback()
    holder.rollback()
    hasty.close()


def test_an_exhausted_pool_says_so(database_url: str, postgresql: SqlDatabase) -> None:
    small = SqlDatabase(database_url, pool_size=1, timeouts=Timeouts(pool=0.1))
    tx = small.transaction()
    tx.positions.lock("h", ["customer-1"])
    with pytest.raises(DatabaseUnavailableError, match="raise pool_size"):
        small.ping()
    tx.rollback()
    small.ping()
    small.close()


def test_a_database_that_is_not_there_is_named_without_its_password() -> None:
    database = SqlDatabase("postgres://ada:s3cret@127.0.0.1:1/shop?connect_timeout=1")
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailableError) as caught:
        database.ping()
    assert time.monotonic() - began < 5
    assert "postgresql://ada@127.0.0.1:1/shop" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_setting_up_at_once_from_many_sides_creates_each_table_once(database_url: str) -> None:
    databases = [SqlDatabase(database_url) for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        created = list(pool.map(lambda database: database.setup(TABLES), databases))
    assert sorted(name for names in created for name in names) == sorted(["customer", 'or"der %s', *framework.tables])
    databases[0].drop(TABLES)
    with pytest.raises(DatabaseError, match="protean db setup"), transaction(databases[1]) as tx:
        tx.rows.count(Query(), CUSTOMER)
    for database in databases:
        database.close()


def test_a_schema_of_its_own_keeps_tables_apart(database_url: str, postgresql: SqlDatabase) -> None:
    tenant = SqlDatabase(database_url, schema="tenant_a")
    assert "customer" in tenant.setup(TABLES)
    write(tenant, customer("1"))
    with transaction(postgresql) as tx:
        assert tx.rows.count(Query(), CUSTOMER) == 0
    tenant.close()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"uri": "mysql://x/y"}, "mysql"),
        ({"uri": "nonsense"}, "not a URI"),
        ({"uri": "postgresql://x/y", "application_name": "x" * 64}, "63 bytes"),
        ({"uri": "postgresql://x/y", "schema": 'a"; drop'}, "lower-case"),
        ({"uri": "sqlite://", "schema": "a"}, "no schemas"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        SqlDatabase(**arguments)


@pytest.mark.parametrize("name", ["outbox", "x" * 64, ""])
def test_names_that_cannot_be_tables_are_refused(postgresql: SqlDatabase, name: str) -> None:
    with pytest.raises(ConfigurationError):
        postgresql.setup([Table(name, (Column("id", ColumnType.STRING),), key="id")])


def end_sessions(admin: Any) -> None:
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tests'")
    while admin.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tests'").fetchone()[0]:
        time.sleep(0.01)


MAILER = Interest("Mailer", False, ("customer",), ("CustomerRegistered",))


def test_a_long_transaction_that_writes_no_message_holds_no_floor_back(postgresql: SqlDatabase, admin: Any) -> None:
    postgresql.recovery.register("default", [MAILER])
    with admin.transaction():
        admin.execute("INSERT INTO positions VALUES ('h', 's', 0, false)")  # it has an id of its own
        append(postgresql, message())
        assert postgresql.recovery.settle() == 1


def test_a_position_that_was_given_out_before_its_transaction_has_an_id_is_waited_for(
    postgresql: SqlDatabase, admin: Any
) -> None:
    """As it is in an INSERT, between the sequence and the row: snapshots know nothing of such a transaction."""
    with admin.transaction():
        admin.execute("LOCK TABLE messages IN ROW EXCLUSIVE MODE")
        admin.execute("SELECT nextval(pg_get_serial_sequence('messages', 'global_position'))")
        append(postgresql, message())
        assert [postgresql.recovery.settle() for _ in range(3)] == [0, 0, 0]
        postgresql.recovery.register("default", [MAILER])
        assert [standing.start for standing in postgresql.recovery.standings()] == [0]
    assert postgresql.recovery.settle() == 2


def test_under_steady_writing_the_log_settles_behind_the_writers(postgresql: SqlDatabase) -> None:
    """There is always somebody writing, and never the same for long."""
    before = postgresql.transaction()
    before.log.append([message("customer-0")], BROKER)
    settled = []
    for number in range(1, 5):
        following = postgresql.transaction()
        following.log.append([message(f"customer-{number}")], BROKER)
        settled.append(postgresql.recovery.settle())
        before.commit()
        settled.append(postgresql.recovery.settle())
        before = following
    before.rollback()
    assert settled == sorted(settled)
    assert settled[-1] >= 2


def test_what_recovery_asks_all_day_reads_a_window_and_no_table(postgresql: SqlDatabase, admin: Any) -> None:
    admin.execute(PUBLISHED)
    admin.execute(
        "INSERT INTO inbox SELECT 'Mailer', message_id, now() - interval '2 days', global_position FROM messages"
    )
    admin.execute("ANALYZE messages, inbox, outbox, failures, handlers")
    old = Interest("Mailer", False, ("old",), ("Old",))
    postgresql.recovery.register("default", [old])
    admin.execute("UPDATE handlers SET start = 0, floor = 190000")
    (standing,) = postgresql.recovery.standings()
    condition = unhandled(old, old.types, 190_000, 195_000, postgresql=True)
    for statement, values in (
        (floors._FIRST.format(unpublished=UNPUBLISHED, condition=condition.sql), condition.values),
        (republishing._FOUND.format(condition=condition.sql), condition.values),
        (floors._INBOX_WINDOW, ("Mailer", 0, 190_000, 5_000)),
        (floors._LOWEST_UNPUBLISHED, ()),
    ):
        explained = admin.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {statement}", values).fetchall()
        plan = "\n".join(line for (line,) in explained)
        for table in ("messages", "inbox", "outbox"):
            assert f"Seq Scan on {table}" not in plan, plan
    step = postgresql.recovery.advance(old, standing, 200_000, 5_000)
    assert step is not None
    assert (step.floor, step.more) == (195_000, True)
