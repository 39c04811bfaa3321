"""Production while the events of a finished migration drain."""

from benchmarks.figures import Target
from benchmarks.latency.conditions import MANY, Condition, backlog_of, draining

CONDITION = Condition(
    Target("at most", 1.5, of="ratio"), backlog_of("gold", overlaps=False), draining, customers=MANY, lasts=True
)
