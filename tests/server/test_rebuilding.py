"""Projections rebuilt again and again while live engines apply events of the same aggregates."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
from tests.server.conftest import Cluster, wait_for
from tests.server.test_engines import assert_exact, migrate
from tests.support.bank import Bank, build_bank

from protean.handle.rebuilding import Rebuilder

#: Rebuilds slowly until it is killed, and says so after every step.
REBUILD = """
import json, sys, time
from tests.support.bank import build_bank
bank = build_bank(json.loads(sys.argv[1]))
with bank.domain.domain_context():
    def told(progress):
        print(progress.done, flush=True)
        time.sleep(0.05)
    bank.domain.rebuild(bank.ledger, batch=5, progress=told)
"""


def as_replayed(bank: Bank, names: list[str]) -> None:
    """Row by row: what applying the log once, in order, to nothing gives."""
    for name in names:
        balance, owner, applied = 0, None, []
        for message in bank.log(name):
            applied.append(message.data.get("number", 0))
            balance += message.data.get("amount", 0)
            owner = message.data.get("owner", owner)
        row = bank.domain.repository_for(bank.ledger).get(name)
        assert (row.balance, row.owner, list(row.applied)) == (balance, owner, applied), name


def in_the_background(work: Callable[[], None], errors: list[BaseException]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # the test looks at what is collected
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_rebuilds_beside_live_engines_are_exact_and_no_reader_sees_them(cluster: Cluster, database_url: str) -> None:
    bank = cluster.bank
    names = [f"acc-{number}" for number in range(30)]
    for name in names:
        bank.open(name)
    migrate(bank, names, 4)
    cluster.start(2)
    cluster.settle()
    over, counts, errors = threading.Event(), set[int](), list[BaseException]()

    def production() -> None:
        while not over.is_set():
            for name in names:
                bank.deposit(name, 1)
                bank.rename(name, f"owner of {name}")

    def read() -> None:
        with psycopg.connect(database_url, autocommit=True) as reader:
            while not over.is_set():
                counts.update(*reader.execute("SELECT count(*) FROM ledger").fetchall())

    threads = [in_the_background(work, errors) for work in (production, lambda: migrate(bank, names, 20), read)]
    rebuilder = build_bank(cluster.config)
    for number in range(6):
        projection = rebuilder.owners if number == 3 else rebuilder.ledger
        rebuilder.domain.rebuild(projection, batch=50)
    over.set()
    for thread in threads:
        thread.join(60)
    rebuilder.domain.close()
    cluster.settle()

    assert errors == []
    assert counts == {len(names)}
    assert_exact(cluster, names)
    as_replayed(bank, names)


def test_a_rebuild_that_is_killed_in_the_middle_leaves_everything_as_it_was_and_the_next_one_ends(
    cluster: Cluster,
) -> None:
    bank = cluster.bank
    names = [f"acc-{number}" for number in range(10)]
    for name in names:
        bank.open(name)
    migrate(bank, names, 6)
    cluster.start(1)
    cluster.settle()
    process = subprocess.Popen(
        [sys.executable, "-c", REBUILD, json.dumps(cluster.config)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert [output.readline().strip() for _ in range(3)] == ["5", "10", "15"]
        process.send_signal(signal.SIGKILL)
    process.wait(10)
    migrate(bank, names, 3)
    cluster.settle()
    assert_exact(cluster, names)

    rebuilt = Rebuilder(bank.domain, bank.ledger, patience=1.0).run()

    assert rebuilt.left_over == "ledger__rebuild"
    migrate(bank, names, 3)
    cluster.settle()
    assert_exact(cluster, names)
    as_replayed(bank, names)


def test_after_a_rebuild_the_engine_goes_on_without_a_restart(cluster: Cluster) -> None:
    bank = cluster.bank
    cluster.start(1)
    for number in range(20):  # often enough for every statement to be prepared
        bank.open(f"before-{number}")
    cluster.settle()

    bank.domain.rebuild(bank.ledger)
    bank.open("after")
    bank.deposit("before-0", 3)

    wait_for(lambda: bank.applied("after") == [0] and bank.applied("before-0") == [0, 1])
