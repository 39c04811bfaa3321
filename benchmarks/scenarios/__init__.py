"""The scenarios by name, in the order in which they run and are printed.

Each is a module with `measure(bench) -> list[Result]`. Those of one family share a process: every `latency_*`
is measured against the same idle rounds, in turn with them.
"""

from __future__ import annotations

from collections.abc import Iterable

FAMILIES: dict[str, tuple[str, ...]] = {
    "model": ("import_time", "declaring", "creation"),
    "guide_loop": ("guide_loop",),
    "process_many": ("process_many",),
    "relay": ("relay",),
    "drain": ("drain",),
    "latency": (
        "latency_idle",
        "latency_migrating",
        "latency_backlog",
        "latency_slow_handler",
        "latency_same_aggregates",
    ),
    "poisoned": ("poisoned",),
    "iterate": ("iterate",),
    "idle": ("idle",),
    "asynchronous": ("asynchronous",),
    "recovery": ("recovery",),
    "observatory": ("observatory",),
    "observatory_pages": ("observatory_pages",),
}
NAMES = tuple(name for family in FAMILIES.values() for name in family)
#: What `--quick` leaves out unless it is named: they measure others a second time.
LONG = frozenset({"poisoned", "observatory", "observatory_pages"})


def families(chosen: Iterable[str]) -> dict[str, list[str]]:
    """The chosen scenarios by family, in order."""
    wanted = set(chosen)
    grouped = {family: [name for name in names if name in wanted] for family, names in FAMILIES.items()}
    return {family: names for family, names in grouped.items() if names}
