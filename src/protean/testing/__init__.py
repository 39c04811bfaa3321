"""What tests of protean and of its users are made with."""

from protean.testing.clock import Clock, stopped_clock
from protean.testing.differences import like
from protean.testing.draining import Drained, StuckError, drain
from protean.testing.golden import assert_golden, write_golden
from protean.testing.isolation import in_memory
from protean.testing.process import given_process
from protean.testing.scenario import given
from protean.testing.sourced import given_aggregate

__all__ = [
    "Clock",
    "Drained",
    "StuckError",
    "assert_golden",
    "drain",
    "given",
    "given_aggregate",
    "given_process",
    "in_memory",
    "like",
    "stopped_clock",
    "write_golden",
]
