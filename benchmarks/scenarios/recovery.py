"""kill -9 of a whole server inside a group commit, and how long a new one takes to make everything good."""

from __future__ import annotations

import time
from statistics import median

import psycopg
from redis import Redis

from benchmarks import seed
from benchmarks.bench import BACKFILL, GROUP, Bench, until
from benchmarks.exactness import check, wait_until_done, worst
from benchmarks.figures import Figure, Result, Target
from benchmarks.server import Server, serving
from benchmarks.shop.domain import shop

TARGET = Target("at most", 10)

# A session of the server that has written something it has not committed: it has a transaction number.
_OPEN = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
"""


def measure(bench: Bench) -> list[Result]:
    events, rounds = bench.pick(4_000, 20_000), bench.pick(1, 5)
    took, in_flight, inexact = [], [], []
    for _ in range(rounds):
        seed.customers(bench, events)
        seed.tier_changes(bench, 1, events, "gold")
        seed.settle(bench)
        with serving() as server:
            in_flight.append(_kill_inside_a_commit(bench, server, events))
        began = time.perf_counter()
        with serving():
            wait_until_done(120.0)
            took.append(time.perf_counter() - began)
        inexact.append(check(bench))
        shop.close()
    pending, transactions, left = zip(*in_flight, strict=True)
    note = (
        f"killed with {median(pending):.0f} entries pending, {min(transactions)} or more transactions open and "
        f"{median(left):.0f} of {events:,} events left; seconds from the new server's start to the last effect"
    )
    figure = Figure(name="until all is handled", value=median(took), unit="s", runs=took, target=TARGET)
    return [Result("recovery", [figure, *worst(inexact)], [note])]


def _kill_inside_a_commit(bench: Bench, server: Server, events: int) -> tuple[int, int, int]:
    """Kill when entries are pending and a transaction has written; how many of each, and what was left."""
    with bench.connect() as connection, bench.redis() as broker:
        until(lambda: _applied(connection) > events // 4, 60.0, lambda: "nothing moves", pace=0.02)
        pending, transactions = until(lambda: _caught(connection, broker), 30.0, lambda: "never inside", pace=0.0)
        server.kill()
        return pending, transactions, events - _applied(connection)


def _caught(connection: psycopg.Connection, broker: Redis) -> tuple[int, int] | None:
    transactions = _number(connection, _OPEN)
    pending = int(broker.xpending(BACKFILL, GROUP)["pending"]) if transactions else 0
    return (pending, transactions) if pending else None


def _applied(connection: psycopg.Connection) -> int:
    return _number(connection, "SELECT count(*) FROM customer_view WHERE changes > 0")


def _number(connection: psycopg.Connection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0
