"""Whether the read model says what the aggregates say, with every event applied exactly once."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.bench import BACKFILL, PRIMARY, Bench, backlog, until
from benchmarks.figures import Figure, Target
from benchmarks.shop.domain import shop

NONE = Target("at most", 0, promise=True)

# Every command raises one event: the version is how many changes a customer has seen, the view counts those it
# has heard of. Seeded customers begin at version 0, and so does everybody who was registered.
_COMPARED = """
SELECT count(*) FILTER (WHERE v.customer_id IS NULL OR v.changes < c._version),
       count(*) FILTER (WHERE v.changes > c._version),
       count(*) FILTER (WHERE (v.name, v.loyalty_tier) IS DISTINCT FROM (c.name, c.loyalty_tier))
FROM customer c LEFT JOIN customer_view v ON v.customer_id = c.id
"""


def check(bench: Bench) -> list[Figure]:
    """Missing, doubled and stale, as figures that must be zero."""
    with bench.connect() as connection:
        row = connection.execute(_COMPARED).fetchone() or (None, None, None)
    names = ("missing", "doubled", "stale")
    return [
        Figure(name=name, value=value, unit="customers", target=NONE) for name, value in zip(names, row, strict=True)
    ]


def worst(rounds: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Of each figure the worst of several rounds."""
    return [max(figures, key=lambda figure: figure.value) for figures in zip(*rounds, strict=True)]


def owed() -> int:
    """Messages between a commit and their effects: unpublished, unread, or not acknowledged."""
    unpublished = sum(count.rows for count in shop.database().outbox.count() if count.status != "published")
    return unpublished + sum(backlog(shop.broker().stream(stream).groups) for stream in (PRIMARY, BACKFILL))


def wait_until_done(patience: float) -> None:
    """Wait until nothing is owed any more. Raises TimeoutError."""
    until(lambda: not owed(), patience, lambda: f"{owed()} messages are still owed", pace=0.05)
