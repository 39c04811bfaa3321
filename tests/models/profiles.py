"""How long the models are run: a fixed, short set of histories in every test run, and a long random search.

`make faults ARGS=tests/models` is the long form: of each model in each world as many histories as two minutes hold
(`MODELS_SECONDS`), others every time, so that running it again goes on where it stopped. A history that it finds is
kept in `.hypothesis/` and tried first by the next long run; write it down as a test of its own when the code is mended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.models.world import Story, World

#: Whether a history that contradicts the model is shortened. People want that; it takes its time.
SHORTENED = os.environ.get("MODELS_SHORTEN", "yes") == "yes"
#: Histories of the long form per one of the short form, at most.
LONGER = 40
#: Seconds after which the long form of one model in one world begins no more of them.
LONG_ENOUGH = float(os.environ.get("MODELS_SECONDS", "120"))


@dataclass(frozen=True)
class Profile:
    """`ci`, the short form, or `long`."""

    name: str

    def course(self, examples: int, steps: int) -> Course:
        """For `examples` histories of up to `steps` steps in the short form."""
        if self.name == "ci":
            return Course(_settings(examples, steps, derandomize=True))
        return Course(_settings(examples, steps * 2, derandomize=False), LONGER, LONG_ENOUGH)


@dataclass(frozen=True)
class Course:
    """So many times the histories of `settings`; no more are begun after `seconds`."""

    settings: settings
    times: int = 1
    seconds: float = 0.0

    def run(self, once: Callable[[], None]) -> None:
        """As often as it says, or for as long."""
        until = time.monotonic() + self.seconds
        for done in range(self.times):
            if done and time.monotonic() > until:
                return
            once()


def _settings(examples: int, steps: int, *, derandomize: bool) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=derandomize,
        deadline=None,  # a shared machine stands still at times
        suppress_health_check=list(HealthCheck),
        phases=[phase for phase in Phase if SHORTENED or phase not in (Phase.shrink, Phase.explain)],
        **({"database": None} if derandomize else {}),
    )


def compare(machine: Callable[[World], Story], world: World, course: Course) -> None:
    """Run histories of the machine until they are used up, it takes too long, or one contradicts the model."""
    course.run(lambda: run_state_machine_as_test(lambda: machine(world), settings=course.settings))
