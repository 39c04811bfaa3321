"""What goes on beside production while its latency is measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from benchmarks import seed
from benchmarks.bench import BACKFILL, ROOT, Bench, until
from benchmarks.figures import Target

#: Customers that production changes, in turn: so many that one is not changed again while it is under way.
PRODUCTION = 1_000
#: Customers there are, quick and full. Idleness and a script that takes its time need no more than `SOME`; a
#: backlog needs `MANY`, or it is gone before the measuring ends.
SOME, MANY = (2_000, 20_000), (25_000, 150_000)

Beside = Callable[[Bench], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Condition:
    """`prepare` runs before the server starts, with the number of customers; `beside` around the measuring.

    `lasts`: backfill must still be busy when the measuring ends, or the round says nothing. `exact`: let it
    drain afterwards, and compare projection and aggregates.
    """

    target: Target
    prepare: Callable[[Bench, int], None]
    beside: Beside
    customers: tuple[int, int] = SOME
    lasts: bool = False
    exact: bool = False


def nothing(_bench: Bench, _customers: int) -> None:
    """Idle."""


def backlog_of(tier: str, *, overlaps: bool) -> Callable[[Bench, int], None]:
    """A finished migration whose events all wait in the outbox; `overlaps`: those of production's customers too."""

    def prepare(bench: Bench, customers: int) -> None:
        seed.tier_changes(bench, 1, customers if overlaps else customers - PRODUCTION, tier)

    return prepare


def alone(_bench: Bench) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def draining(bench: Bench) -> Iterator[None]:
    """Once events of the backlog are in the lane."""
    with bench.redis() as broker:
        until(lambda: broker.xlen(BACKFILL) > 100, 30.0, lambda: "nothing reaches the backfill lane")
    yield


@contextmanager
def migrating(bench: Bench) -> Iterator[None]:
    """While the guide's script is at work."""
    command = [sys.executable, "-m", "benchmarks.latency.migration"]
    with bench.connect() as connection:
        script = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
        try:
            until(
                lambda: connection.execute("SELECT 1 FROM outbox LIMIT 1").fetchone(), 30.0, lambda: "it does nothing"
            )
            yield
            if script.poll() is not None:
                raise RuntimeError(f"the migration ended with code {script.returncode}")
        finally:
            script.terminate()
            script.wait(10)
