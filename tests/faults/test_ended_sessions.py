"""A message that ends its database session every time, and a database that is away: told apart by whole engines."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.own_database import OwnDatabase
from tests.server.conftest import Cluster, wait_for
from tests.support.bank import build_bank
from tests.support.sessions import ending

from protean.ports.progress import Failure, FailureFilter, FailureState
from protean.priority import Priority, processing_priority

OTHERS = [f"acc-{number}" for number in range(20)]


@pytest.fixture(scope="module")
def own() -> Iterator[OwnDatabase]:
    folder = Path(tempfile.mkdtemp(prefix="protean-ended-"))
    folder.chmod(0o755)
    server = OwnDatabase(folder, ["max_connections=60", "fsync=off", "shared_buffers=16MB"])
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def cluster(own: OwnDatabase, broker_url: str) -> Iterator[Cluster]:
    config: dict[str, Any] = {
        "databases": {"default": {"database_uri": own.create()}},
        "brokers": {"default": {"uri": broker_url}},
        "server": {
            "priority_lanes": {"enabled": True},
            "retry": {"base_delay": 0.05, "max_delay": 0.2, "max_retries": 1},
            "grace_period": 20.0,
        },
    }
    cluster = Cluster(config, build_bank(config))
    cluster.bank.domain.database()
    yield cluster
    cluster.stop()
    cluster.bank.domain.close()


def found(cluster: Cluster) -> list[Failure]:
    transaction = cluster.bank.domain.database().transaction()
    try:
        return transaction.failures.find(FailureFilter(), 100)
    finally:
        transaction.rollback()


@pytest.mark.parametrize("priority", [Priority.NORMAL, Priority.LOW])
def test_a_message_that_ends_its_session_every_time_is_a_dead_letter_in_the_end_and_others_go_on(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, priority: Priority
) -> None:
    bank = cluster.bank
    with processing_priority(priority):
        bank.open("poisoned")
        bank.deposit("poisoned")
        for name in OTHERS:
            bank.open(name)
            bank.deposit(name)
    cluster.start(between=ending("poisoned"))

    wait_for(lambda: all(bank.applied(name) == [0, 1] for name in OTHERS), lambda: str(found(cluster)))
    wait_for(lambda: [each.state for each in found(cluster)] == [FailureState.DEAD], lambda: str(found(cluster)))
    (dead,) = found(cluster)
    assert (dead.stream_name, dead.attempts, dead.error_type) == ("account-poisoned", 2, "SessionLostError")
    cluster.settle()
    assert bank.applied("poisoned") == []
    assert bank.position("poisoned") == (-1, True)
    assert not [record for record in caplog.records if record.name.startswith("psycopg")]


def test_an_outage_of_the_server_in_the_middle_of_a_handler_burns_no_attempt_however_long(
    own: OwnDatabase, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    bank = cluster.bank
    for name in OTHERS:
        bank.open(name)
    inside, gone = threading.Event(), threading.Event()

    def held(event: Any) -> None:
        inside.set()
        gone.wait(30)

    cluster.start(between=held)
    assert inside.wait(30)
    own.stop()
    gone.set()
    time.sleep(6)  # several times what the budget lasts where sessions are to be had
    own.start()
    wait_for(lambda: all(bank.applied(name) == [0] for name in OTHERS))
    cluster.settle()
    assert found(cluster) == []
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any("waits for the database" in line for line in said)
    assert not [line for line in said if "failed, attempt" in line or "dead after" in line]
