"""One relay over a full outbox, against publishing the same payloads to the broker by hand."""

from __future__ import annotations

import time

from benchmarks import seed
from benchmarks.bench import BACKFILL, Bench
from benchmarks.figures import Result, Target, against
from benchmarks.shop.domain import shop
from protean import codec
from protean.deliver.lanes import Lane
from protean.deliver.relay import Relay, RelaySettings
from protean.ports.outbox import OutboxRow

TARGET = Target("at least", 15_000)


def measure(bench: Bench) -> list[Result]:
    rows, rounds = bench.pick(10_000, 50_000), bench.pick(1, 5)
    ours, floor = [], []
    for _ in range(rounds):
        seed.customers(bench, rows)
        seed.tier_changes(bench, 1, rows, "gold")
        seed.settle(bench)
        floor.append(_by_hand(bench))
        ours.append(_relayed(bench, rows))
        shop.close()
    figure = against("rows published and marked", ours, floor, "rows/s", TARGET)
    note = f"{rows:,} rows, {rounds} rounds; floor: XADD alone, pipelined by {_batch()}, nothing read or marked"
    return [Result("relay", [figure], [note])]


def _relayed(bench: Bench, rows: int) -> float:
    relay = backfill_relay()
    began = time.perf_counter()
    while relay.publish_batch(_batch()):
        pass
    took = time.perf_counter() - began
    with bench.redis() as broker:
        published = int(broker.xlen(BACKFILL))
    if published != rows:
        raise AssertionError(f"{published} of {rows} rows were published")
    return rows / took


def backfill_relay() -> Relay:
    """A relay as the engine makes it."""
    lanes = shop.lanes

    def route(row: OutboxRow) -> str | None:
        return lanes.stream(row.category, Lane.BACKFILL) if shop.registry.handlers_of(row.category) else None

    claim = lanes.claim(shop.config.outbox.broker, Lane.BACKFILL)
    return Relay(shop.database().outbox, shop.broker(), claim, route, settings=RelaySettings(_batch()))


def _by_hand(bench: Bench) -> float:
    with bench.connect() as connection:
        payloads = [
            codec.envelope(data, metadata, position, global_position)
            for data, metadata, position, global_position in connection.execute(
                "SELECT data::text, metadata::text, position, global_position FROM messages ORDER BY global_position"
            )
        ]
    with bench.redis() as broker:
        began = time.perf_counter()
        for first in range(0, len(payloads), _batch()):
            pipeline = broker.pipeline(transaction=False)
            for payload in payloads[first : first + _batch()]:
                pipeline.execute_command("XADD", "by-hand", "*", "data", payload)
            pipeline.execute()
        took = time.perf_counter() - began
        broker.unlink("by-hand")
    return len(payloads) / took


def _batch() -> int:
    return shop.config.outbox.messages_per_tick
