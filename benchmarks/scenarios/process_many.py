"""Many commands in few transactions, against a script that does the same to the same rows, pipelined."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks import raw, seed
from benchmarks.bench import Bench
from benchmarks.figures import Result, Target, against
from benchmarks.shop.customer import UpdateCustomerTier
from benchmarks.shop.domain import shop
from protean.priority import Priority
from protean.write.bulk import BATCH

TARGET = Target("at least", 0.3, of="ratio")


def measure(bench: Bench) -> list[Result]:
    records, rounds = bench.pick(400, 4_000), bench.pick(2, 7)
    seed.customers(bench, records)
    seed.settle(bench)
    with bench.connect() as connection:
        ids = [customer_id for (customer_id,) in connection.execute("SELECT id FROM customer ORDER BY id")]
    ours: list[float] = []
    floor: list[float] = []
    for number in range(rounds + 1):
        began = time.perf_counter()
        _pipelined(bench, ids, f"raw-{number}")
        done = time.perf_counter()
        _ours(ids, f"ours-{number}")
        ended = time.perf_counter()
        if number:  # the first one prepares statements
            floor.append(records / (done - began))
            ours.append(records / (ended - done))
    shop.close()
    figure = against("process_many", ours, floor, "commands/s", TARGET)
    note = f"{rounds} rounds of {records} commands, {BATCH} a transaction, in turn; no server running"
    return [Result("process_many", [figure], [note])]


def _ours(ids: Sequence[str], tier: str) -> None:
    commands = (UpdateCustomerTier(customer_id=customer_id, loyalty_tier=tier) for customer_id in ids)
    done = shop.process_many(commands, priority=Priority.LOW)
    if done.handled != len(ids):
        raise AssertionError(f"{done.handled} of {len(ids)} commands were handled: {done.failed[:1]}")


def _pipelined(bench: Bench, ids: Sequence[str], tier: str) -> None:
    """What `raw` has, a batch a transaction: one statement reads its rows, each is changed and its event appended."""
    with bench.connect() as connection:
        for first in range(0, len(ids), BATCH):
            with connection.pipeline(), connection.transaction():
                rows = connection.execute(raw.READ_MANY, (list(ids[first : first + BATCH]),)).fetchall()
                for customer_id, *_, version in rows:
                    connection.execute(raw.CHANGE, (tier, version + 1, customer_id, version))
                    connection.execute(raw.APPEND, raw.message(customer_id, tier, version + 1))
