"""The same history in memory, on SQLite and on PostgreSQL: the same answers, the same errors, the same state."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from tests.equal.steps import Step, answer, everything, histories
from tests.equal.world import World
from tests.models.profiles import Profile

#: Histories of the short form, and their steps at most.
HISTORIES, LENGTH = 130, 10


def test_every_history_is_answered_alike_everywhere(worlds: list[World], profile: Profile) -> None:
    @profile.settings(HISTORIES, LENGTH)
    @given(histories(LENGTH))
    def alike(history: list[Step]) -> None:
        for world in worlds:
            world.domain.database().truncate(world.domain.tables["default"])
        for number, step in enumerate(history):
            expected, *others = [_in(world, lambda world, step=step: answer(step, world)) for world in worlds]
            for world, told in zip(worlds[1:], others, strict=True):
                assert told == expected, f"step {number}, {step}: {world} differs from {worlds[0]}"
        expected, *others = [_in(world, everything) for world in worlds]
        for world, told in zip(worlds[1:], others, strict=True):
            assert told == expected, f"in the end {world} differs from {worlds[0]}"

    alike()


def _in(world: World, ask: Any) -> Any:
    with world.domain.domain_context():
        return ask(world)
