"""kill -9 anywhere: everything committed is handled within seconds of a restart, and nothing twice in effect."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest
from tests.faults.conftest import Service

from protean.priority import Priority, processing_priority

#: Seconds from the restart until everything must be handled.
RECOVERY = 10.0
#: Seconds that shared machines get for anything else.
PATIENCE = 60.0


def wait_for(done: Callable[[], bool], seconds: float, complaint: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.005)


def owed(service: Service) -> int:
    database, broker = service.bank.domain.database(), service.bank.domain.broker()
    rows = sum(count.rows for count in database.outbox.count() if count.status != "published")
    return rows + sum(broker.stream(stream).length for stream in ("account", "account:backfill"))


def in_a_group_commit(service: Service, url: str, stream: str) -> bool:
    """Whether messages are pending and the transaction that handles them is open."""
    broker = service.bank.domain.broker()
    if not any(group.pending for group in broker.stream(stream).groups):
        return False
    with psycopg.connect(url) as connection:
        open_transactions = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%%' "
            "AND pid <> pg_backend_pid()"
        ).fetchone()
    return open_transactions is not None and open_transactions[0] > 0


@pytest.mark.parametrize(("lane", "priority"), [("backfill", Priority.LOW), ("primary", Priority.NORMAL)])
def test_all_processes_killed_inside_a_transaction_lose_and_double_nothing(
    service: Service, database_url: str, lane: str, priority: Priority
) -> None:
    names = [f"acc-{number}" for number in range(60)]
    with processing_priority(priority):
        for name in names:
            service.bank.open(name)
            service.bank.deposit(name)
    stream = "account" if lane == "primary" else "account:backfill"
    service.start(delay=0.004)
    wait_for(
        lambda: in_a_group_commit(service, database_url, stream), PATIENCE, lambda: service.log.read_text()[-4000:]
    )
    service.kill_all()
    assert owed(service) > 0
    service.start()
    began = time.monotonic()
    wait_for(lambda: owed(service) == 0, PATIENCE, lambda: f"{owed(service)} owed\n{service.log.read_text()[-4000:]}")
    took = time.monotonic() - began
    assert {name: service.bank.applied(name) for name in names} == {name: [0, 1] for name in names}
    assert took < RECOVERY * 2, took  # the figure itself is the benchmark's; here it only must not be minutes


def test_a_server_that_is_asked_to_stop_finishes_and_leaves_nothing_pending(service: Service) -> None:
    names = [f"acc-{number}" for number in range(40)]
    for name in names:
        service.bank.open(name)
    service.start(delay=0.01)
    wait_for(lambda: bool(service.bank.applied("acc-0")), PATIENCE, lambda: service.log.read_text()[-4000:])
    assert service.stop() == [0]
    assert service.bank.domain.broker().living() == []
    service.start()
    wait_for(lambda: owed(service) == 0, PATIENCE, lambda: service.log.read_text()[-4000:])
    assert {name: service.bank.applied(name) for name in names} == {name: [0] for name in names}


def test_one_process_killed_is_started_again_and_the_rest_goes_on(service: Service) -> None:
    service.start()
    wait_for(lambda: len(service.bank.domain.broker().living()) == 2, PATIENCE, service.log.read_text)
    before = {process.pid for process in service.everybody()}
    backfill = service.everybody()[-1]
    backfill.kill()
    wait_for(lambda: bool({process.pid for process in service.everybody()} - before), PATIENCE, service.log.read_text)
    with processing_priority(Priority.LOW):
        service.bank.open("a")
    wait_for(lambda: service.bank.applied("a") == [0], PATIENCE, service.log.read_text)
    assert "was ended by SIGKILL" in service.log.read_text()


def test_processes_whose_supervisor_was_killed_end_by_themselves(service: Service) -> None:
    server = service.start()
    wait_for(lambda: len(service.bank.domain.broker().living()) == 2, PATIENCE, service.log.read_text)
    children = service.everybody()[1:]
    server.kill()
    server.wait()
    wait_for(lambda: not any(child.is_running() for child in children), PATIENCE, service.log.read_text)
