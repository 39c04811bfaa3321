"""A process that is frozen in the middle of a transaction holds up nobody for longer than its sign of life lasts."""

from __future__ import annotations

import time

import psycopg
import pytest
from tests.server.conftest import Cluster

from protean import codec

FROZEN = "frozen.1.cafe"
LOCK = """
INSERT INTO positions (handler, stream_name, position, blocked) VALUES ('LedgerProjector', 'account-a', -1, false)
"""


def test_the_locks_of_a_frozen_process_go_with_its_sessions_before_its_messages_are_taken_over(
    cluster: Cluster, database_url: str
) -> None:
    bank, broker = cluster.bank, cluster.bank.domain.broker()
    bank.open("a")
    broker.ensure_group("account", "LedgerProjector")
    broker.publish([("account", codec.encode(message)) for message in bank.log("a")])
    assert broker.read("account", "LedgerProjector", FROZEN, 10, 0.0)
    url = database_url.replace("+psycopg", "")
    with psycopg.connect(url, application_name=FROZEN) as frozen:
        frozen.execute(LOCK)
        cluster.start()
        deadline = time.monotonic() + 20
        while bank.applied("a") != [0]:
            assert time.monotonic() < deadline, "its lock is still there"
            time.sleep(0.05)
        with pytest.raises(psycopg.OperationalError):
            frozen.execute("SELECT 1")  # it thaws
    cluster.settle()
    assert bank.applied("a") == [0]
