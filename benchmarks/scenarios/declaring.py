"""Declaring a domain of 300 elements and initializing it, beside as many plain pydantic models of the same fields."""

from __future__ import annotations

import time
from statistics import median

from benchmarks.bench import Bench
from benchmarks.figures import Figure, Result, Target
from benchmarks.model import many

ELEMENTS = 300


def measure(bench: Bench) -> list[Result]:
    aggregates, rounds = bench.pick(5, ELEMENTS // many.EACH), bench.pick(1, 5)
    declaring: list[float] = []
    initializing: list[float] = []
    plain: list[float] = []
    for number in range(rounds + 1):
        began = time.process_time()
        many.plain(aggregates)
        modelled = time.process_time()
        domain = many.declared(aggregates)
        declared = time.process_time()
        domain.init()
        initialized = time.process_time()
        if number:  # the first one warms up
            plain.append(modelled - began)
            declaring.append(declared - modelled)
            initializing.append(initialized - declared)
    count = aggregates * many.EACH
    most = Target("at most", 0.5 * count / ELEMENTS)
    figures = [
        Figure(name=f"init of {count} elements", value=median(initializing), unit="s", runs=initializing, target=most),
        Figure(
            name="declaring them",
            value=median(declaring),
            unit="s",
            floor=median(plain),
            ratio=median(declaring) / median(plain),
            runs=declaring,
        ),
    ]
    return [Result("declaring", figures, [f"{rounds} rounds, CPU time; floor: plain models of the same fields"])]
