"""What every scenario has at hand: the servers of this run, emptied, and whether it must be quick."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
from redis import Redis

from protean.ports.broker import GroupState

#: The folder that holds this package: what it starts is started there.
ROOT = Path(__file__).parents[1]
#: The consumer group, which is named after the one projector there is.
GROUP = "CustomerProjector"
PRIMARY, BACKFILL = "customer", "customer:backfill"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bench:
    quick: bool

    def pick(self, quick: T, full: T) -> T:
        """The size that fits the run."""
        return quick if self.quick else full

    def connect(self) -> psycopg.Connection:
        """A raw connection of its own to the scenario's database, in autocommit mode."""
        return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)

    def redis(self) -> Redis:
        """A raw client of the scenario's logical database."""
        return Redis.from_url(os.environ["REDIS_URL"])

    @property
    def database_url(self) -> str:
        return os.environ["DATABASE_URL"]

    def note(self, text: str) -> None:
        """Say how it is going, to whoever waits."""
        print(f"  {text}", file=sys.stderr, flush=True)


def empty(bench: Bench) -> None:
    """Empty the tables (made if missing) and the broker. Nothing may be running."""
    from benchmarks.shop.domain import shop  # noqa: PLC0415  # reads its configuration when it is imported

    shop.init()
    shop.database().truncate(shop.tables["default"])
    shop.close()
    with bench.redis() as broker:
        broker.flushdb()


def until(done: Callable[[], T | None], patience: float, complaint: Callable[[], str] = str, pace: float = 0.005) -> T:
    """Ask until the answer is true, and return it. Raises TimeoutError after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (answer := done()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {patience:g} s: {complaint()}")
        time.sleep(pace)
    return answer


def interruptible() -> None:
    """End on SIGTERM as on Ctrl-C, through every `finally`; also when started in the background, where shells
    have SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def backlog(groups: tuple[GroupState, ...]) -> int:
    """What the projector has not acknowledged of a stream."""
    return sum(group.lag + group.pending for group in groups if group.name == GROUP)
