"""Production while every backfill event costs its handler 10 ms of computing and 10 ms of SQL."""

from benchmarks.figures import Target
from benchmarks.latency.conditions import Condition, backlog_of, draining
from benchmarks.shop.customer_view import SLOW_TIER

CONDITION = Condition(Target("at most", 1.5, of="ratio"), backlog_of(SLOW_TIER, overlaps=False), draining, lasts=True)
