"""The same history in memory, on SQLite and on PostgreSQL: the same answers, the same errors, the same state."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given
from tests.equal.steps import Step, answer, everything, histories
from tests.equal.world import World
from tests.models.profiles import Profile

#: Histories of the short form, and their steps at most.
HISTORIES, LENGTH = 60, 10


def test_every_history_is_answered_alike_everywhere(worlds: list[World], profile: Profile) -> None:
    course = profile.course(HISTORIES, LENGTH)

    @course.settings
    @given(histories(LENGTH))
    def alike(history: list[Step]) -> None:
        for world in worlds:
            world.domain.database().truncate(world.domain.tables["default"])
        for number, step in enumerate(history):
            compare(f"step {number}, {step}", worlds, partial(answer, step))
        compare("in the end", worlds, everything)

    course.run(alike)


def compare(when: str, worlds: list[World], ask: Callable[[World], Any]) -> None:
    """Ask all of them; the first is PostgreSQL, which is right."""
    told = []
    for world in worlds:
        with world.domain.domain_context():
            told.append(ask(world))
    for world, other in zip(worlds[1:], told[1:], strict=True):
        assert other == told[0], f"{when}: {world} says {other}, {worlds[0]} {told[0]}"
