"""What a sequenced handler does with a message, given where it stands. Decided under the position row's lock."""

from __future__ import annotations

from enum import StrEnum

from protean.ports.progress import Position


class Step(StrEnum):
    APPLY = "apply"  # it is the next one
    SKIP = "skip"  # a duplicate: applied before, from another lane, an earlier delivery or a gap
    CATCH_UP = "catch up"  # earlier ones are missing: read them from the log first
    BLOCKED = "blocked"  # an earlier one has failed


def next_step(at: Position, position: int) -> Step:
    """The step for a message at `position` of a stream where the handler stands `at`."""
    if position <= at.position:
        return Step.SKIP
    if at.blocked:
        return Step.BLOCKED
    return Step.APPLY if position == at.position + 1 else Step.CATCH_UP
