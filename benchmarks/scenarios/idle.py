"""What a server costs that has nothing to do: one projector, both lanes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil
import psycopg
from redis import Redis

from benchmarks import seed
from benchmarks.bench import Bench
from benchmarks.figures import Figure, Result, Target
from benchmarks.server import Server, serving

#: Seconds after the start that are not counted.
SETTLE = 1.5
#: Seconds in which PostgreSQL's sessions hand in their statistics at the latest, even when idle (10), and some.
HAND_IN = 10.5


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    cpu: float
    transactions: int
    commands: dict[str, int]


def measure(bench: Bench) -> list[Result]:
    seconds = bench.pick(3.0, 30.0)
    seed.customers(bench, 1_000)
    seed.settle(bench)
    with serving() as server, bench.connect() as connection, bench.redis() as broker:
        time.sleep(SETTLE if bench.quick else SETTLE + HAND_IN)
        before = _read(server, connection, broker)
        time.sleep(seconds)
        after = _read(server, connection, broker)
        memory = sum(process.memory_info().rss for process in server.processes) / 2**20
    took = after.at - before.at
    # Our own reading: one transaction, and the commands that read the statistics.
    transactions = after.transactions - before.transactions - 1
    commands = {name: calls - before.commands.get(name, 0) for name, calls in after.commands.items()}
    busiest = sorted(((calls, name) for name, calls in commands.items() if calls), reverse=True)
    figures = [
        Figure(
            name="CPU", value=100 * (after.cpu - before.cpu) / took, unit="% of a core", target=Target("at most", 2)
        ),
        Figure(name="SQL", value=transactions / took, unit="transactions/s", target=Target("at most", 15)),
        Figure(name="broker", value=sum(commands.values()) / took, unit="commands/s", target=Target("at most", 30)),
        Figure(name="memory", value=memory, unit="MB"),
    ]
    told = ", ".join(f"{name} {calls / took:.1f}" for calls, name in busiest[:8])
    return [Result("idle", figures, [f"{took:.0f} s, all processes of the server; commands/s: {told}"])]


def _read(server: Server, connection: psycopg.Connection, broker: Redis) -> _Reading:
    row = connection.execute(
        "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    statistics = broker.info("commandstats")
    commands = {
        name.removeprefix("cmdstat_"): int(values["calls"])
        for name, values in statistics.items()
        if name != "cmdstat_info"
    }
    cpu = 0.0
    for process in server.processes:
        with process.oneshot():
            times: psutil._common.pcputimes = process.cpu_times()
            cpu += times.user + times.system
    return _Reading(time.perf_counter(), cpu, int(row[0]) if row else 0, commands)
