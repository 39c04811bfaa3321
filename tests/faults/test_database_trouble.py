"""A database in trouble: everybody waits, says so once, hammers at no door, and goes on by themselves, exactly."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from tests.faults.own_database import Line, OwnDatabase
from tests.server.conftest import Cluster, wait_for
from tests.support.bank import Bank, build_bank

from protean import UnitOfWork
from protean.adapters.redis.broker import RedisBroker
from protean.adapters.sql import SqlDatabase
from protean.deliver import housekeeping
from protean.exceptions import DatabaseUnavailableError, TransientDatabaseError
from protean.ports.progress import FailureFilter
from protean.priority import Priority, processing_priority

T = TypeVar("T")

LANES = ("account", "account:backfill")
#: Fails what is written to a table with an error of the server's own, so many times.
TROUBLE = """
CREATE SEQUENCE IF NOT EXISTS trouble_so_far;
ALTER SEQUENCE trouble_so_far RESTART;
CREATE OR REPLACE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('trouble_so_far') <= {times} THEN RAISE EXCEPTION 'trouble' USING ERRCODE = '{code}'; END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER trouble BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION trouble();
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder that every account can enter, with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="protean-own-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def own(home: Path) -> Iterator[OwnDatabase]:
    server = OwnDatabase(home, ["max_connections=60", "fsync=off", "shared_buffers=16MB"])
    server.start()
    yield server
    server.stop()


@contextmanager
def cluster_on(database_url: str, broker_url: str, **options: Any) -> Iterator[Cluster]:
    config = {
        "databases": {"default": {"database_uri": database_url, **options}},
        "brokers": {"default": {"uri": broker_url}},
        "outbox": {"retention": 0},
        "server": {
            "priority_lanes": {"enabled": True},
            "retry": {"base_delay": 0.05, "max_delay": 0.2},
            "grace_period": 20.0,
        },
    }
    cluster = Cluster(config, build_bank(config))
    cluster.bank.domain.database()
    try:
        yield cluster
    finally:
        cluster.stop()
        cluster.bank.domain.close()


@pytest.fixture
def cluster(own: OwnDatabase, broker_url: str) -> Iterator[Cluster]:
    with cluster_on(own.create(), broker_url) as cluster:
        yield cluster


@pytest.fixture
def line(own: OwnDatabase) -> Iterator[Line]:
    line = Line(own.create())
    yield line
    line.close()


@pytest.fixture
def sweeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Housekeeping that is always at it."""
    monkeypatch.setattr(housekeeping, "SWEEP_INTERVAL", 0.05)


def insist(work: Callable[[], T]) -> T:
    """What a client does whose request failed for want of a database: the same again, under the same key."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return work()
        except (DatabaseUnavailableError, TransientDatabaseError):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def deposit(bank: Bank, account: str, key: str) -> None:
    insist(lambda: bank.domain.process(bank.Deposit(account_id=account), idempotency_key=key))


def opened(bank: Bank, accounts: int) -> list[str]:
    names = [f"acc-{number}" for number in range(accounts)]
    for name in names:
        bank.domain.process(bank.Open(account_id=name), idempotency_key=f"open {name}")
    return names


def work_through(bank: Bank, names: list[str], rounds: int) -> None:
    """Deposits into every account, half of them at low priority; every one under a key of its own."""
    for turn in range(rounds):
        for name in names:
            with processing_priority(Priority.LOW if turn % 2 else Priority.NORMAL):
                deposit(bank, name, f"{name} {turn}")


def assert_exact(cluster: Cluster, names: list[str], deposits: int) -> None:
    """Each command had one effect, each event was applied once and in order, and nothing was taken for a failure."""
    bank = cluster.bank
    expected = list(range(deposits + 1))
    wait_for(lambda: all(bank.applied(name) == expected for name in names), lambda: str(cluster.owed()))
    cluster.settle()
    assert {bank.domain.repository_for(bank.account).get(name).balance for name in names} == {deposits}
    assert failures(bank) == 0


def failures(bank: Bank) -> int:
    transaction = bank.domain.database().transaction()
    try:
        return transaction.failures.count(FailureFilter())
    finally:
        transaction.rollback()


def admin_of(bank: Bank) -> psycopg.Connection[Any]:
    return psycopg.connect(str(bank.domain.config.databases["default"].database_uri), autocommit=True)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said at WARNING and above."""
    return [f"{record.name}: {record.getMessage()}" for record in caplog.records if record.levelno >= logging.WARNING]


def assert_told_once(caplog: pytest.LogCaptureFixture, times: int = 1) -> None:
    """Each thread has said once, or so many times, what it waits for, and nobody calls it a failure."""
    said = Counter(record.threadName for record in caplog.records if record.levelno >= logging.WARNING)
    assert 1 <= max(said.values(), default=0) <= times, "\n".join(told(caplog))
    assert_no_failure(caplog)


def assert_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """No thread has broken down, and no message was said to have failed, were it only for the time being."""
    assert not [line for line in told(caplog) if "broke down" in line or "failed, attempt" in line or "dead" in line]


def consumer(cluster: Cluster) -> str:
    """The name of the one engine, which may have begun to handle before it was noted down."""
    wait_for(lambda: bool(cluster.engines))
    return cluster.engines[0].consumer


def terminate(admin: psycopg.Connection[Any], application: str, doing: str = "%") -> int:
    """End the sessions of a process that are inside a transaction whose last statement looks like that; how many."""
    return len(
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s "
            "AND state LIKE 'idle in%%' AND query ILIKE %s AND datname = current_database()",
            (application, doing),
        ).fetchall()
    )


def test_a_server_that_crashes_and_comes_back_under_load_costs_nothing(
    own: OwnDatabase, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    names = opened(cluster.bank, 8)
    cluster.start(2)
    load = threading.Thread(target=work_through, args=(cluster.bank, names, 30))
    load.start()
    for _ in range(2):
        time.sleep(0.5)
        own.stop()
        time.sleep(0.7)
        own.start()
    load.join()
    assert_exact(cluster, names, 30)
    assert_told_once(caplog, times=4)  # twice the server went, and each time also came back in two steps


def test_a_handlers_session_ended_in_its_middle_leaves_its_message_to_be_handled_once(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[int] = []
    with admin_of(cluster.bank) as admin:

        def between(event: Any) -> None:
            if getattr(event, "number", 0) == 2 and len(ended) < 3:
                ended.append(terminate(admin, consumer(cluster)))

        names = opened(cluster.bank, 3)
        work_through(cluster.bank, names, 4)
        cluster.start(between=between)
        wait_for(lambda: len(ended) == 3)
        assert_exact(cluster, names, 4)
    assert sum(ended) >= 3
    assert any("waits for the database" in line for line in told(caplog))


def test_a_relays_session_ended_between_publishing_and_marking_publishes_again_and_nothing_is_doubled(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    publish = RedisBroker.publish

    with admin_of(cluster.bank) as admin:

        def treacherous(self: RedisBroker, *arguments: Any, **options: Any) -> Any:
            answer = publish(self, *arguments, **options)
            if len(ended) < 3:
                ended.append(terminate(admin, consumer(cluster), "%outbox%"))
            return answer

        monkeypatch.setattr(RedisBroker, "publish", treacherous)
        names = opened(cluster.bank, 3)
        cluster.start()
        work_through(cluster.bank, names, 4)
        assert_exact(cluster, names, 4)
    assert sum(ended) >= 3


def test_a_retry_whose_session_is_ended_is_tried_again(cluster: Cluster) -> None:
    ended: list[int] = []
    with admin_of(cluster.bank) as admin:

        def between(event: Any) -> None:
            name = consumer(cluster)
            bank = cluster.banks[0]
            if bank.calls.count(("acc-0", 1)) == 2 and not ended:
                ended.append(terminate(admin, name))
                bank.fails = set()

        names = opened(cluster.bank, 2)
        work_through(cluster.bank, names, 2)
        cluster.start(1, between=between, fails={"acc-0:1"})
        wait_for(lambda: cluster.bank.applied("acc-0") == [0, 1, 2], lambda: str(cluster.banks[0].calls))
    assert len(ended) == 1
    assert ended[0] >= 1  # the retry's, and any that another thread happened to have open
    assert_exact(cluster, names, 2)


def test_housekeeping_whose_sessions_are_ended_all_the_time_gets_through_in_the_end(
    cluster: Cluster, sweeping: None, caplog: pytest.LogCaptureFixture
) -> None:
    names = opened(cluster.bank, 3)
    cluster.start()
    with admin_of(cluster.bank) as admin:
        for _ in range(20):
            work_through(cluster.bank, names, 1)
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                (consumer(cluster),),
            )
            time.sleep(0.05)
    assert_exact(cluster, names, 1)
    database = cluster.bank.domain.database()
    wait_for(lambda: database.outbox.count() == [], lambda: str(database.outbox.count()))
    assert_no_failure(caplog)


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_serialization_failures_and_deadlocks_are_repeated_and_no_failures(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    names = opened(cluster.bank, 3)
    with admin_of(cluster.bank) as admin:
        admin.execute(TROUBLE.format(times=8, code=code, table="ledger"))
        cluster.start()
        work_through(cluster.bank, names, 4)
        assert_exact(cluster, names, 4)
        admin.execute(TROUBLE.format(times=8, code=code, table="account"))
        cluster.bank.deposit(names[0])
    wait_for(lambda: cluster.bank.applied(names[0]) == [0, 1, 2, 3, 4, 5])
    assert_no_failure(caplog)


@pytest.mark.parametrize("code", ["53100", "58030", "25006"])
def test_a_server_in_no_state_to_write_is_waited_for_and_burns_no_attempts(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    names = opened(cluster.bank, 3)
    with admin_of(cluster.bank) as admin:
        admin.execute(TROUBLE.format(times=6, code=code, table="ledger"))
        cluster.start()
        work_through(cluster.bank, names, 2)
        assert_exact(cluster, names, 2)
    assert_told_once(caplog)


def test_whoever_sets_another_isolation_for_the_database_changes_nothing_for_us(cluster: Cluster) -> None:
    name = cluster.bank.domain.config.databases["default"].database_uri.partition("?")[0].rpartition("/")[2]
    with admin_of(cluster.bank) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    names = opened(cluster.bank, 3)
    cluster.bank.domain.close()
    cluster.start(2)
    work_through(cluster.bank, names, 4)
    assert_exact(cluster, names, 4)
    with UnitOfWork(cluster.bank.domain) as unit:
        unit.transaction("default").positions.lock("h", ["s"])
        session = unit.transaction("default").positions._session  # type: ignore[attr-defined]  # the real one's
        assert session.fetch("SHOW transaction_isolation") == [("read committed",)]


def test_a_database_that_sends_everybody_away_is_asked_ever_more_seldom_and_that_is_said_once(
    line: Line, broker_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with cluster_on(line.url, broker_url) as cluster:
        names = opened(cluster.bank, 30)
        work_through(cluster.bank, names, 2)
        cluster.start(between=lambda event: time.sleep(0.02))
        wait_for(lambda: bool(cluster.bank.applied(names[0])))
        line.cut()
        line.attempts = 0
        time.sleep(4)
        assert any(len(stream.groups) and stream.length for stream in map(cluster.bank.domain.broker().stream, LANES))
        assert 0 < line.attempts < 150, line.attempts
        assert_told_once(caplog)
        with pytest.raises(DatabaseUnavailableError, match="cannot be used"):
            cluster.bank.deposit("acc-0")
        line.mend()
        began = time.monotonic()
        for name in names:
            deposit(cluster.bank, name, f"{name} after")
        assert_exact(cluster, names, 3)
        assert time.monotonic() - began < 20


def test_a_reply_to_commit_that_is_lost_leaves_a_client_who_may_ask_again(line: Line, broker_url: str) -> None:
    with cluster_on(line.url, broker_url) as cluster:
        bank = cluster.bank
        opened(bank, 1)
        for number in range(5):
            line.commits_to_lose = 1
            with pytest.raises(DatabaseUnavailableError):
                bank.domain.process(bank.Deposit(account_id="acc-0"), idempotency_key=f"{number}")
            deposit(bank, "acc-0", f"{number}")
            deposit(bank, "acc-0", f"{number}")
        assert bank.domain.repository_for(bank.account).get("acc-0").balance == 5
        line.commits_to_lose = 1
        with pytest.raises(DatabaseUnavailableError):
            bank.domain.process(bank.Open(account_id="new"), idempotency_key="new")
        assert bank.domain.process(bank.Open(account_id="new"), idempotency_key="new") == "new"
        assert line.commits_to_lose == 0


def test_a_client_whose_session_is_ended_before_its_commit_has_done_nothing_and_may_ask_again(
    cluster: Cluster,
) -> None:
    bank = cluster.bank
    opened(bank, 1)

    def in_a_transaction_that_is_ended() -> None:
        with UnitOfWork(bank.domain) as unit:
            bank.domain.process(bank.Deposit(account_id="acc-0"), idempotency_key="k")
            unit.flush()
            with admin_of(bank) as admin:
                assert terminate(admin, bank.domain.consumer) == 1

    with pytest.raises(DatabaseUnavailableError):
        in_a_transaction_that_is_ended()
    deposit(bank, "acc-0", "k")
    deposit(bank, "acc-0", "k")
    assert bank.domain.repository_for(bank.account).get("acc-0").balance == 1


def test_an_engine_whose_commits_get_lost_applies_everything_once(line: Line, broker_url: str) -> None:
    with cluster_on(line.url, broker_url) as cluster:
        names = opened(cluster.bank, 4)
        cluster.start()
        for turn in range(10):
            for name in names:
                deposit(cluster.bank, name, f"{name} {turn}")
            line.commits_to_lose = 2
        wait_for(lambda: line.commits_to_lose == 0)
        assert_exact(cluster, names, 10)


def test_a_pool_that_is_exhausted_says_so_and_is_usable_afterwards(own: OwnDatabase, broker_url: str) -> None:
    with cluster_on(own.create(), broker_url, pool_size=1, pool_timeout=0.2) as cluster:
        bank = cluster.bank
        opened(bank, 1)
        with UnitOfWork(bank.domain) as unit:
            unit.transaction("default").positions.lock("h", ["s"])
            refused: list[BaseException] = []

            def another() -> None:
                try:
                    bank.deposit("acc-0")
                except DatabaseUnavailableError as error:
                    refused.append(error)

            thread = threading.Thread(target=another)
            thread.start()
            thread.join()
        assert "raise pool_size" in str(refused[0])
        deposit(bank, "acc-0", "k")
        threads = [threading.Thread(target=deposit, args=(bank, "acc-0", f"k{number % 4}")) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert bank.domain.repository_for(bank.account).get("acc-0").balance == 5


@pytest.mark.parametrize("table", ["outbox", "positions", "ledger"])
def test_statements_that_take_too_long_are_given_up_and_tried_again(
    own: OwnDatabase, broker_url: str, sweeping: None, caplog: pytest.LogCaptureFixture, table: str
) -> None:
    with cluster_on(own.create(), broker_url, statement_timeout=0.3) as cluster:
        names = opened(cluster.bank, 3)
        cluster.start()
        work_through(cluster.bank, names, 1)
        cluster.settle()
        with admin_of(cluster.bank) as admin, admin.transaction():
            admin.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            for name in names if table != "outbox" else ():
                deposit(cluster.bank, name, f"{name} held up")
            time.sleep(2)
        for name in names:
            deposit(cluster.bank, name, f"{name} held up")
        assert_exact(cluster, names, 2)
    assert_no_failure(caplog)
    assert len(told(caplog)) <= 24, "\n".join(told(caplog))


def test_a_transaction_of_others_that_stays_open_stops_neither_publishing_nor_housekeeping(
    cluster: Cluster, sweeping: None
) -> None:
    names = opened(cluster.bank, 3)
    with admin_of(cluster.bank) as writer, admin_of(cluster.bank) as reader, writer.transaction():
        writer.execute("CREATE TABLE of_others (n int); INSERT INTO of_others VALUES (1)")
        with reader.transaction():
            reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            reader.execute("SELECT count(*) FROM outbox")
            cluster.start()
            work_through(cluster.bank, names, 3)
            assert_exact(cluster, names, 3)
            database = cluster.bank.domain.database()
            wait_for(lambda: database.outbox.count() == [], lambda: str(database.outbox.count()))


def test_when_others_take_every_connection_the_engine_waits_for_its_own(
    own: OwnDatabase, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    names = opened(cluster.bank, 3)
    cluster.start()
    work_through(cluster.bank, names, 1)
    cluster.settle()
    with own.admin() as admin, ExitStack() as others:
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            try:
                others.enter_context(own.admin())
            except psycopg.OperationalError:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ANY(%s)",
                    ([consumer(cluster), cluster.bank.domain.consumer],),
                )
                time.sleep(0.02)
        with pytest.raises(DatabaseUnavailableError, match="too many clients"):
            cluster.bank.deposit("acc-0")
    work_through(cluster.bank, names, 2)
    assert_exact(cluster, names, 2)
    assert_told_once(caplog, times=5)  # connections were to be had now and then


def test_a_database_that_turns_read_only_is_waited_for(
    own: OwnDatabase, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    names = opened(cluster.bank, 20)
    cluster.start(between=lambda event: time.sleep(0.02))
    with own.admin() as admin:
        admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        admin.execute("SELECT pg_reload_conf()")
        try:
            time.sleep(2)
            with pytest.raises(DatabaseUnavailableError, match="read-only"):
                cluster.bank.deposit("acc-0")
            assert any(cluster.owed().values())
        finally:
            admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            admin.execute("SELECT pg_reload_conf()")
    work_through(cluster.bank, names, 2)
    assert_exact(cluster, names, 2)
    assert_told_once(caplog)


def test_a_disk_that_is_full_is_waited_for(
    own: OwnDatabase, home: Path, broker_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(own, home) as disk:
        with own.admin() as admin:
            admin.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        with cluster_on(own.create("small"), broker_url) as cluster:
            names = opened(cluster.bank, 3)
            cluster.start()
            filler = disk / "filler"
            fill(filler)
            with pytest.raises(DatabaseUnavailableError, match="No space left"):
                write_much(cluster.bank, "acc-0")
            time.sleep(1)
            filler.unlink()
            work_through(cluster.bank, names, 2)
            wait_for(lambda: not any(cluster.owed().values()), lambda: str(cluster.owed()))
            assert failures(cluster.bank) == 0
            assert {cluster.bank.domain.repository_for(cluster.bank.account).get(name).balance for name in names} == {2}
            cluster.stop()
            cluster.bank.domain.close()
        with own.admin() as admin:
            for (name,) in admin.execute(
                "SELECT datname FROM pg_database JOIN pg_tablespace t ON t.oid = dattablespace WHERE spcname = 'small'"
            ).fetchall():
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            admin.execute("DROP TABLESPACE small")
    assert_no_failure(caplog)


def fill(filler: Path) -> None:
    """Take all that is left of a file system."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65536))


def write_much(bank: Bank, account: str) -> None:
    for number in range(200):
        bank.rename(account, os.urandom(100_000).hex() + str(number))


@contextmanager
def small_disk(own: OwnDatabase, home: Path) -> Iterator[Path]:
    """A file system of 40 MB. Only root may make one; elsewhere the error's code alone is tested, above."""
    folder = home / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m,mode=0700", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip("file systems cannot be mounted here: " + mounted.stderr.decode().strip())
    try:
        if own.account is not None:
            os.chown(folder, *own.account)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def test_a_name_that_nobody_knows_is_a_database_that_cannot_be_used() -> None:
    database = SqlDatabase("postgresql://ada:s3cret@no-such-host.invalid/shop")
    with pytest.raises(DatabaseUnavailableError, match=r"no-such-host\.invalid.* cannot be used") as caught:
        database.ping()
    assert "s3cret" not in str(caught.value)
    database.close()
