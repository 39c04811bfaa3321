"""Production on a thousand customers while the event of one more is poison to its handler."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from benchmarks.bench import GROUP, ROOT, Bench, until
from benchmarks.exactness import NONE
from benchmarks.figures import Figure, Result, Target
from benchmarks.latency import rounds
from benchmarks.latency.conditions import Condition, nothing
from benchmarks.scenarios.latency_idle import CONDITION as IDLE
from benchmarks.seed import ID

NAME = "poisoned"

_POISONED = f"SELECT {ID.format(number=1)}"
_BLOCKED = "SELECT count(*) FROM positions WHERE handler = %s AND blocked"


def measure(bench: Bench) -> list[Result]:
    """The ratio of p99, by rounds in turn with idle ones; every sample is of somebody who is not poisoned."""
    held_up: list[int] = []
    target = Target("at most", 1.5, of="ratio")
    conditions = {rounds.IDLE: IDLE, NAME: Condition(target, nothing, partial(_poisoning, held_up))}
    idle, poisoned = rounds.measure(bench, conditions)
    p99, *others = poisoned.figures
    ratio = Figure(name="p99 ratio", value=p99.ratio or 0.0, unit="x idle", target=Target("at most", 1.5))
    innocent = Figure(name="held up", value=max(held_up), unit="others", target=NONE)
    notes = [*poisoned.notes, f"idle: {idle.notes[0]}"]
    return [Result(NAME, [ratio, replace(p99, target=None), *others, innocent], notes)]


@contextmanager
def _poisoning(held_up: list[int], bench: Bench) -> Iterator[None]:
    """Once the first customer's events have begun to fail. At the end, who else is held up is counted."""
    with bench.connect() as connection:
        (customer,) = connection.execute(_POISONED.encode()).fetchone() or ("",)
    command = [sys.executable, "-m", "benchmarks.latency.poisoner", str(customer)]
    client = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        until(lambda: _blocked(bench) == 1, 30.0, lambda: "the poison does nothing", pace=0.02)
        yield
        if client.poll() is not None:
            raise RuntimeError(f"the poisoned customer's client ended with code {client.returncode}")
        held_up.append(_blocked(bench) - 1)
    finally:
        client.terminate()
        client.wait(10)


def _blocked(bench: Bench) -> int:
    with bench.connect() as connection:
        (count,) = connection.execute(_BLOCKED, (GROUP,)).fetchone() or (0,)
        return int(count)
