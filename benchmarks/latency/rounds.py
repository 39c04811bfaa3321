"""Every condition in turn, several rounds, so that a machine whose speed drifts treats all of them alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import md5
from statistics import median
from uuid import UUID

from benchmarks import seed
from benchmarks.bench import BACKFILL, Bench
from benchmarks.exactness import check, wait_until_done, worst
from benchmarks.figures import Figure, Result, Target, percentile
from benchmarks.latency import floors
from benchmarks.latency.conditions import PRODUCTION, SOME, Condition
from benchmarks.latency.watcher import Sample, watch
from benchmarks.latency.writer import Schedule
from benchmarks.server import serving
from benchmarks.shop.domain import shop

IDLE = "latency_idle"
#: Commands a second.
RATE = 20.0
#: Commands of one measuring, quick and full; and of those before it that only warm up.
SAMPLES, WARM_UP = (12, 400), (3, 40)


@dataclass
class _Round:
    """One measuring of one condition. `left`: events in the backfill lane at its end."""

    samples: list[Sample]
    inexact: list[Figure] = field(default_factory=list)
    left: int = 0

    def percentile(self, percent: float) -> float:
        return percentile([sample.visible for sample in self.samples], percent)


def measure(bench: Bench, conditions: Mapping[str, Condition]) -> list[Result]:
    """The results of these conditions; idle is measured in any case, everything else is compared with it."""
    rounds = bench.pick(1, 5)
    taken: dict[str, list[_Round]] = {name: [] for name in conditions}
    by_hand = _floor(bench, "by hand")
    straight = _floor(bench, "straight")
    for number in range(rounds):
        # Idle comes first in one round and last in the next.
        order = list(conditions)[:: 1 if number % 2 == 0 else -1]
        for name in order:
            taken[name].append(_take(bench, conditions[name]))
            bench.note(f"round {number + 1} of {rounds}, {name}: p99 {taken[name][-1].percentile(99):.2f} ms")
    idle = taken[IDLE]
    results = [_idle(idle, by_hand, straight)]
    for name, condition in conditions.items():
        if name != IDLE:
            results.append(_loaded(name, condition, taken[name], idle))
    return results


def _take(bench: Bench, condition: Condition) -> _Round:
    customers = bench.pick(*condition.customers)
    seed.customers(bench, customers)
    condition.prepare(bench, customers)
    seed.settle(bench)
    with serving(), condition.beside(bench):
        taken = _Round(_watched(bench, customers))
        with bench.redis() as broker:
            taken.left = int(broker.xlen(BACKFILL))
        if condition.exact:
            wait_until_done(300.0)
            taken.inexact = check(bench)
    shop.close()
    return taken


def _ids(last: int) -> list[str]:
    """The ids of production's customers, the last ones of the seeded; see `seed.ID`."""
    numbers = range(last, last - PRODUCTION, -1)
    return [str(UUID(md5(str(number).encode(), usedforsecurity=False).hexdigest())) for number in numbers]


def _floor(bench: Bench, mode: str) -> _Round:
    customers = bench.pick(*SOME)
    seed.customers(bench, customers)
    seed.settle(bench)
    with floors.listening() if mode == "by hand" else nullcontext():
        return _Round(_watched(bench, customers, mode))


def _watched(bench: Bench, customers: int, mode: str = "ours") -> list[Sample]:
    """Production at its rate; what it begins with warms up caches, plans and pools and does not count."""
    count, warm_up = bench.pick(*SAMPLES), bench.pick(*WARM_UP)
    return watch(bench, Schedule(warm_up + count, RATE, _ids(customers), mode))[warm_up:]


def _idle(idle: Sequence[_Round], by_hand: _Round, straight: _Round) -> Result:
    seeing = f"p50 {straight.percentile(50):.2f}, p99 {straight.percentile(99):.2f} ms"
    notes = [
        f"{_count(idle)} samples, open loop {RATE:g}/s, from the commit's return to the row seen",
        f"floor: NOTIFY, upsert, commit by hand; the seeing itself, included everywhere: {seeing}",
        _writers(idle),
    ]
    figures = [
        _pooled(f"p{percent}", idle, percent, by_hand.percentile(percent), Target("at most", limit))
        for percent, limit in ((99, 12), (50, 5))
    ]
    return Result(IDLE, [*figures, _pooled("p95", idle, 95, by_hand.percentile(95), None), _worst(idle)], notes)


def _loaded(name: str, condition: Condition, taken: Sequence[_Round], all_idle: Sequence[_Round]) -> Result:
    """Rounds whose backlog was gone too early measured idleness, and are left out with their idle partners."""
    valid = [(ours, base) for ours, base in zip(taken, all_idle, strict=True) if ours.left or not condition.lasts]
    if not valid:
        raise RuntimeError(f"{name}: the backlog was gone before the measuring ended, in every round")
    rounds, idle = [ours for ours, _ in valid], [base for _, base in valid]
    figures = [
        _compared(f"p{percent}", rounds, idle, percent, condition.target if percent == 99 else None)
        for percent in (99, 95, 50)
    ]
    notes = [f"{_count(rounds)} samples; ratio: median over {len(rounds)} rounds of p99 to that round's idle p99"]
    notes.append(_writers(rounds))
    if condition.lasts:
        notes.append(f"{min(each.left for each in rounds):,} events or more were still in the lane at the end")
    if len(rounds) < len(taken):
        notes.append(f"{len(taken) - len(rounds)} rounds left out, whose backlog was gone before their end")
    return Result(name, [*figures, _worst(rounds), *worst([each.inexact for each in taken])], notes)


def _compared(
    name: str, rounds: Sequence[_Round], idle: Sequence[_Round], percent: float, target: Target | None
) -> Figure:
    """Pooled percentiles, and the median over the rounds of the ratio to idle in the same round."""
    ratios = [ours.percentile(percent) / base.percentile(percent) for ours, base in zip(rounds, idle, strict=True)]
    return Figure(
        name=name,
        value=_pooled_percentile(rounds, percent),
        unit="ms",
        floor=_pooled_percentile(idle, percent),
        ratio=median(ratios),
        runs=[each.percentile(percent) for each in rounds],
        target=target,
    )


def _pooled(name: str, rounds: Sequence[_Round], percent: float, floor: float, target: Target | None) -> Figure:
    value = _pooled_percentile(rounds, percent)
    runs = [each.percentile(percent) for each in rounds]
    return Figure(name=name, value=value, unit="ms", floor=floor, ratio=value / floor, runs=runs, target=target)


def _worst(rounds: Sequence[_Round]) -> Figure:
    return Figure(name="max", value=_pooled_percentile(rounds, 100), unit="ms")


def _pooled_percentile(rounds: Sequence[_Round], percent: float) -> float:
    return percentile([sample.visible for each in rounds for sample in each.samples], percent)


def _count(rounds: Sequence[_Round]) -> str:
    return f"{sum(len(each.samples) for each in rounds):,}"


def _writers(rounds: Sequence[_Round]) -> str:
    commits = [sample.commit for each in rounds for sample in each.samples]
    late = max(sample.late for each in rounds for sample in each.samples)
    command = f"p50 {percentile(commits, 50):.2f}, p99 {percentile(commits, 99):.2f} ms"
    return f"the command itself: {command}; the latest start was {late:.1f} ms behind its schedule"
