"""Replaying and discarding what somebody has chosen: exactly as many as they were shown, or none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

from protean.exceptions import BrokerError, DatabaseError, InvalidOperationError
from protean.ports.progress import FailureFilter, FailureState
from protean.server.dead_letters import DeadLetters
from protean.server.letters import DeadLetter, Group, Settled, key_of, place_of
from protean.server.observatory.operations import Underway
from protean.wording import counted

logger = logging.getLogger(__name__)

#: Letters decided about between two words of progress.
STEP = 500
#: Seconds between two words of progress while the engine is at it.
LOOK = 1.0
#: Seconds without any progress after which the engine is no longer waited for.
PATIENCE = 60


@dataclass(frozen=True, slots=True)
class Scope:
    """What somebody means: one by its `place`, a `group`, or all dead ones, of one `handler` or `stream` perhaps."""

    place: str | None = None
    group: str | None = None
    handler: str | None = None
    stream: str | None = None

    @property
    def which(self) -> FailureFilter:
        return FailureFilter(
            handlers=None if self.handler is None else (self.handler,), stream=self.stream, state=FailureState.DEAD
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a scope holds now: how many, in words, and which."""

    count: int
    words: str
    letters: Callable[[], Iterator[DeadLetter]]


class Deciding:
    """The decisions of one Observatory: one at a time is carried to the database, any number wait for the engine."""

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters
        self._turn = threading.Lock()

    def chosen(self, scope: Scope) -> Chosen:
        """Look up what a scope holds. Raises InvalidOperationError for a place that is none."""
        letters, which = self._letters, scope.which
        if scope.place is not None:
            found = [] if (one := self.at(scope.place)) is None else [one]
            of_whom = f" of {found[0].failure.handler}: {found[0].failure.message_type}" if found else ""
            return Chosen(len(found), f"1 dead letter{of_whom}", lambda: iter(found))
        if scope.group is not None:
            group = self.group(scope.group)
            if group is None:
                return Chosen(0, f"group {scope.group}", lambda: iter(()))
            words = f"{counted(group.count, 'dead letter')} of {group.handler}: {group.error_type}: {group.shape}"
            return Chosen(group.count, words, lambda: letters.members(group))
        count = letters.count(which)
        ours = "".join(f", {name}" for name in (scope.handler, scope.stream) if name is not None)
        return Chosen(count, f"all {counted(count, 'dead letter')}{ours}", lambda: letters.find(which))

    def at(self, place: str) -> DeadLetter | None:
        """The dead letter of that place, unless it was replayed, discarded or has failed again since."""
        key = key_of(place)
        for letter in self._letters.find(FailureFilter(handlers=(key.handler,), message_id=key.message_id)):
            if letter.failure.key == key and letter.failure.state is FailureState.DEAD:
                return letter
        return None

    def group(self, group_id: str) -> Group | None:
        """The group of dead letters of that id."""
        groups = self._letters.groups(FailureFilter(state=FailureState.DEAD))
        return next((group for group in groups if group.id == group_id), None)

    def replay(self, scope: Scope, expected: int, by: str, underway: Underway) -> str:
        """Make exactly these due again, in the order in which they failed, and wait for the engine; what came of it."""
        released: list[DeadLetter] = []
        with self._turn:
            chosen = self._exactly(scope, expected, underway)
            self._letters.require_handlers(chosen)
            with _counted_on(released, len(chosen), "replayed"):
                for step in _steps(chosen):
                    released += self._letters.release(step, by=by)
                    underway.told(0)
        settled = self._settle(released, 0, underway)
        parts = [f"{len(settled.succeeded):,} succeeded"]
        if settled.failed_again:
            parts.append(f"{len(settled.failed_again):,} failed again")
        return ", ".join(parts + _rest(settled, "tried") + _others(len(chosen) - len(released)))

    def discard(self, scope: Scope, expected: int, by: str, reason: str, underway: Underway) -> str:
        """Decide that the handler shall never see exactly these; what came of it."""
        marked: list[DeadLetter] = []
        archived: list[DeadLetter] = []
        decided: list[DeadLetter] = []
        with self._turn:
            chosen = self._exactly(scope, expected, underway)
            with _counted_on(decided, len(chosen), "discarded"):
                for step in _steps(chosen):
                    behind, gone = self._letters.give_up(step, by=by, reason=reason)
                    marked += behind
                    archived += gone
                    decided += [*behind, *gone]
                    underway.told(len(archived))
        settled = self._settle(marked, len(archived), underway)
        parts = [f"{len(archived) + len(settled.succeeded):,} discarded"]
        left = len(chosen) - len(marked) - len(archived)
        return ", ".join(parts + _rest(settled, "passed over") + _others(left))

    def _exactly(self, scope: Scope, expected: int, underway: Underway) -> list[DeadLetter]:
        """Those of a scope, the first to fail first. Raises InvalidOperationError when they are not as many."""
        chosen: list[DeadLetter] = []
        found = self.chosen(scope).letters()
        while step := list(islice(found, STEP)):
            chosen += map(_light, step)
            underway.told(0)
            if len(chosen) > expected:
                break
        if len(chosen) != expected:
            now = f"more than {expected:,}" if len(chosen) > expected else f"{len(chosen):,}"
            raise InvalidOperationError(
                f"there are no longer {expected:,} but {now}, so nothing was done; look again, and decide again"
            )
        return sorted(chosen, key=lambda letter: letter.failure.first_failed_at)

    def _settle(self, letters: Sequence[DeadLetter], done: int, underway: Underway) -> Settled:
        """Wait until the engine has been at all of them, as long as it gets on."""
        whole, waiting, quiet = Settled(), list(letters), 0
        while waiting:
            try:
                settled = self._letters.settle(waiting, LOOK)
            except (DatabaseError, BrokerError) as error:  # what was decided is, and the engine goes on by itself
                logger.warning("How far the engine is cannot be seen: %s", error)
                settled = Settled(unsettled=waiting)
                time.sleep(LOOK)
            whole.succeeded += settled.succeeded
            whole.failed_again += settled.failed_again
            quiet = quiet + 1 if len(settled.unsettled) == len(waiting) else 0
            waiting = whole.unsettled = settled.unsettled
            underway.told(done + len(letters) - len(waiting))
            if not settled.engine_running or quiet * LOOK >= PATIENCE:
                whole.engine_running = settled.engine_running
                break
        return whole


@contextmanager
def _counted_on(decided: Sequence[DeadLetter], total: int, what: str) -> Iterator[None]:
    """Say of a decision that is broken off how far it came: so far it holds."""
    try:
        yield
    except (DatabaseError, BrokerError) as error:
        raise InvalidOperationError(
            f"broken off when {len(decided):,} of {total:,} were {what}, which holds; look again, and decide about the "
            f"others: {error}"
        ) from error


def place(letter: DeadLetter) -> str:
    """What an address calls a failure; another once it has failed again."""
    return place_of(letter.failure.key)


def _steps(letters: Sequence[DeadLetter]) -> Iterator[Sequence[DeadLetter]]:
    return (letters[first : first + STEP] for first in range(0, len(letters), STEP))


def _light(letter: DeadLetter) -> DeadLetter:
    """Without what is long, which of a hundred thousand would fill the memory."""
    failure = letter.failure
    return replace(letter, failure=replace(failure, traceback="", error="", raw=None if failure.raw is None else b""))


def _rest(settled: Settled, done: str) -> list[str]:
    if not settled.unsettled:
        return []
    left = f"{len(settled.unsettled):,} not {done} yet"
    if not settled.engine_running:
        return [f"{left}: no engine is running, they wait for one"]
    return [f"{left}: the engine comes to them when it can"]


def _others(count: int) -> list[str]:
    return [f"{count:,} somebody else had been at"] if count else []
