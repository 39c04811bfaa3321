"""Production alone: one projector, a command 20 times a second."""

from benchmarks.figures import Target
from benchmarks.latency.conditions import Condition, alone, nothing

CONDITION = Condition(Target("at most", 12), nothing, alone)
