"""The address migration scripts import priorities from; see `protean.priority`."""

from protean.priority import Priority, current_priority, processing_priority

__all__ = ["Priority", "current_priority", "processing_priority"]
