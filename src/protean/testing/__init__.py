"""What tests of protean and of its users are made with."""

from protean.testing.golden import assert_golden, write_golden

__all__ = ["assert_golden", "write_golden"]
