"""Reading every aggregate, as the guide's script does: time, and memory that must not grow with the number."""

from __future__ import annotations

import gc
import time
from statistics import median

import psutil

from benchmarks import seed
from benchmarks.bench import Bench
from benchmarks.figures import Figure, Result, Target
from benchmarks.shop.customer import Customer
from benchmarks.shop.domain import shop
from protean import current_domain

#: Aggregates between two looks at the memory.
LOOK_EVERY = 1_000


def measure(bench: Bench) -> list[Result]:
    few, many = bench.pick((10_000, 0), (50_000, 500_000))
    rounds = bench.pick(1, 5)
    seed.customers(bench, few)
    seed.settle(bench)
    runs, floor = [], []
    for _ in range(rounds):
        floor.append(_by_hand(bench))
        runs.append(_ours(few))
    took, grown = [run[0] for run in runs], [run[1] for run in runs]
    limit = 3.0 * few / 50_000
    figures = [
        Figure(
            name=f"{few:,} aggregates",
            value=median(took),
            unit="s",
            floor=median(floor),
            ratio=median(took) / median(floor),
            runs=took,
            target=Target("at most", limit),
        ),
        Figure(name="memory growth", value=max(grown), unit="MB", runs=grown, target=Target("at most", 40)),
    ]
    if many:
        seed.customers(bench, many)
        seed.settle(bench)
        least = _by_hand(bench)
        seconds, growth = _ours(many)
        figures += [
            Figure(name=f"{many:,} aggregates", value=seconds, unit="s", floor=least, ratio=seconds / least),
            Figure(name="memory growth of those", value=growth, unit="MB", target=Target("at most", 40)),
        ]
    note = "floor: rows by hand, in the same pages by key, into dicts; memory: resident, peak less beginning"
    return [Result("iterate", figures, [note])]


def _ours(count: int) -> tuple[float, float]:
    """Seconds, and the megabytes by which this process grew at most."""
    process = psutil.Process()
    gc.collect()
    with shop.domain_context():
        shop.database().ping()
        before = peak = process.memory_info().rss
        began = time.perf_counter()
        seen = 0
        for _customer in current_domain.repository_for(Customer).query.all():
            seen += 1
            if seen % LOOK_EVERY == 0:
                peak = max(peak, process.memory_info().rss)
        took = time.perf_counter() - began
    shop.close()
    if seen != count:
        raise AssertionError(f"{seen} of {count} aggregates were seen")
    return took, (peak - before) / 2**20


def _by_hand(bench: Bench) -> float:
    page, last, rows = 500, "", None
    columns = ("id", "name", "email", "lifetime_spend", "loyalty_tier", "_version")
    with bench.connect() as connection:
        began = time.perf_counter()
        while rows is None or len(rows) == page:
            rows = connection.execute(
                "SELECT id, name, email, lifetime_spend, loyalty_tier, _version FROM customer "
                "WHERE id > %s ORDER BY id LIMIT %s",
                (last, page),
            ).fetchall()
            for row in rows:
                last = dict(zip(columns, row, strict=True))["id"]
        return time.perf_counter() - began
