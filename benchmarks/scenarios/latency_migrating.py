"""Production while the guide's script changes customers, one command a transaction, as fast as it can."""

from benchmarks.figures import Target
from benchmarks.latency.conditions import Condition, migrating, nothing

CONDITION = Condition(Target("at most", 1.5, of="ratio"), nothing, migrating)
