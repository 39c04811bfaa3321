"""Moves from one state to the next, where a field's declaration lists those that are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from protean.exceptions import ValidationError
from protean.fields.spec import FieldSpec

Transitions = Mapping[Enum, tuple[Enum, ...]]


def transitions_of(fields: Mapping[str, FieldSpec]) -> dict[str, Transitions]:
    """The moves allowed, by field; only of those fields that restrict them."""
    return {name: spec.transitions for name, spec in fields.items() if spec.transitions is not None}


def check_move(field: str, transitions: Transitions, before: Any, after: Any) -> None:
    """Raises ValidationError for a move that is not listed; staying is none, and from None every state may begin."""
    if before is None or before is after or after in transitions[before]:
        return
    allowed = ", ".join(state.name for state in transitions[before])
    goal = "None" if after is None else after.name
    only = f"it may become {allowed}" if allowed else f"{before.name} is final"
    raise ValidationError({field: [f"cannot become {goal} from {before.name}; {only}"]})
