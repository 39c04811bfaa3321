"""Production on the very customers whose events wait in the backfill lane: their earlier events come first."""

from benchmarks.figures import Target
from benchmarks.latency.conditions import MANY, Condition, backlog_of, draining

CONDITION = Condition(
    Target("at most", 2, of="ratio"),
    backlog_of("gold", overlaps=True),
    draining,
    customers=MANY,
    lasts=True,
    exact=True,
)
