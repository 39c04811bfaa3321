"""A backlog through one backfill process and one projector, against one upsert transaction per 100 by hand."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from pydantic_core import from_json
from redis import Redis

from benchmarks import raw, seed
from benchmarks.bench import BACKFILL, GROUP, Bench, until
from benchmarks.exactness import check, worst
from benchmarks.figures import Result, Target, against
from benchmarks.scenarios.relay import backfill_relay
from benchmarks.server import serving
from benchmarks.shop.domain import shop

TARGET = Target("at least", 4_000)
#: Messages that the floor reads, writes and acknowledges at a time.
BATCH = 100


def measure(bench: Bench) -> list[Result]:
    events, rounds = bench.pick(4_000, 50_000), bench.pick(1, 5)
    ours, floor, inexact = [], [], []
    for _ in range(rounds):
        _fill(bench, events)
        floor.append(_by_hand(bench, events))
        _fill(bench, events)
        ours.append(_drained(bench, events))
        inexact.append(check(bench))
        shop.close()
    figure = against("events handled", ours, floor, "events/s", TARGET)
    note = f"{events:,} events of as many customers, {rounds} rounds, from the first acknowledgement to the last"
    return [Result("drain", [figure, *worst(inexact)], [note])]


def _fill(bench: Bench, events: int) -> None:
    """The backlog on the stream, its group at the beginning."""
    seed.customers(bench, events)
    seed.tier_changes(bench, 1, events, "gold")
    relay = backfill_relay()
    while relay.publish_batch(500):
        pass
    shop.broker().ensure_group(BACKFILL, GROUP)
    seed.settle(bench)


def _drained(bench: Bench, events: int) -> float:
    """Acknowledged entries are trimmed at once, so the stream's length says how far it is."""
    with serving("backfill"), bench.redis() as broker:
        first = until(lambda: events - int(broker.xlen(BACKFILL)), 30.0, lambda: "nothing was handled", pace=0.002)
        began = time.perf_counter()
        until(lambda: not broker.xlen(BACKFILL), 300.0, lambda: f"{broker.xlen(BACKFILL)} left", pace=0.01)
        return (events - first) / (time.perf_counter() - began)


def _by_hand(bench: Bench, events: int) -> float:
    with bench.connect() as connection, bench.redis() as broker:
        connection.autocommit = False
        began = time.perf_counter()
        done = 0
        while done < events:
            done += _one_batch(connection, broker)
        return done / (time.perf_counter() - began)


def _one_batch(connection: psycopg.Connection, broker: Redis) -> int:
    reply: Any = broker.xreadgroup(GROUP, "by-hand", {BACKFILL: ">"}, count=BATCH)
    ((_, entries),) = reply
    with connection.pipeline():
        for _, fields in entries:
            data = from_json(fields[b"data"])["data"]
            connection.execute(raw.UPSERT_TIER, (data["customer_id"], "Customer", data["loyalty_tier"]))
        connection.commit()
    broker.xack(BACKFILL, GROUP, *(entry_id for entry_id, _ in entries))
    return len(entries)
