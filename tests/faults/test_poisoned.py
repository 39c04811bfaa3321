"""One aggregate that its handler cannot stomach, among a thousand: nobody else waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.faults.conftest import Trial, tried
from tests.support.things import FOR_EVER, Things, build_things

from protean.priority import Priority, processing_priority

OTHERS = 999


@dataclass(frozen=True, slots=True)
class Scene:
    """A server whose next retry is far away, and a client."""

    trial: Trial
    things: Things


@pytest.fixture
def scene(tmp_path: Path, database_url: str, broker_url: str) -> Iterator[Scene]:
    patient: dict[str, Any] = {"retry": {"base_delay": 300.0, "max_delay": 300.0}}
    with tried(tmp_path, database_url, broker_url, **patient) as trial:
        things = build_things(trial.direct)
        yield Scene(trial, things)
        things.domain.close()


@pytest.mark.parametrize("priority", [Priority.NORMAL, Priority.LOW])
def test_nobody_waits_behind_the_poisoned_one_of_a_thousand(scene: Scene, priority: Priority) -> None:
    things, trial = scene.things, scene.trial
    with processing_priority(priority):
        things.make("poisoned")
        things.change("poisoned", fails=FOR_EVER)
        things.change("poisoned")
        for number in range(OTHERS):
            things.make(f"other-{number}")
    trial.start()
    everything = things.domain.repository_for(things.everything)
    trial.wait_for(lambda: everything.query.count() == OTHERS + 1, 60.0, lambda: "others wait")
    trial.wait_for(lambda: set(trial.oracle.owed()) == {"waiting failures"}, 30.0, lambda: "something else is owed")
    assert trial.oracle.owed() == {"waiting failures": 3}  # one for each handler, and its retry is minutes away
    (poisoned,) = [row for row in everything.query.all() if row.thing_id == "poisoned"]
    assert len(poisoned.applied) == 1, "the event behind the failed one stays behind it"
