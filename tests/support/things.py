"""Things whose handlers write down, each in its own transaction, what they did: for the oracle of tests/faults.

A sequenced handler keeps a row for every thing, and in it a list of what it applied, in the order of applying: lost,
doubled and swapped all show, because the list is read and written under the position's lock. The handler without an
order inserts a row for every application.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from protean import Domain, current_domain, handle, on
from protean.fields import Identifier, Integer, String
from protean.priority import current_priority
from protean.write.context import current_cause

#: How long handlers fail with an event that was told to make them.
FOR_A_WHILE, FOR_EVER = "for a while", "for ever"
#: Seconds from the first attempt on that a while lasts: longer than it takes to fall back from a group commit to one
#: message, shorter than it takes to the first retry.
WHILE = 0.25
#: The variable that names a folder for the moments of first attempts, which no rollback may undo.
FOLDER = "THINGS_FOLDER"


@dataclass(frozen=True, slots=True)
class Things:
    """The domain, and what has to be named outside of it."""

    domain: Domain
    Make: Any
    Change: Any
    everything: Any
    changes: Any
    letters: Any

    def make(self, thing: str) -> int:
        """Make it; the number of its last event."""
        number: int = self.domain.process(self.Make(thing_id=thing))
        return number

    def change(self, thing: str, *, notes: int = 0, fails: str = "") -> int:
        """Raise `notes` events that only one handler knows, and one that all do; the number of the last.

        All handlers fail with that last one, if `fails` says how long.
        """
        number: int = self.domain.process(self.Change(thing_id=thing, notes=notes, fails=fails))
        return number


def build_things(config: dict[str, Any]) -> Things:
    """A fresh domain over these servers."""
    domain = Domain("things", config=config)

    @domain.event(part_of="Thing")
    class Made:
        thing_id: Identifier(required=True)
        number: Integer(required=True)

    @domain.event(part_of="Thing")
    class Noted:
        thing_id: Identifier(required=True)
        number: Integer(required=True)

    @domain.event(part_of="Thing")
    class Changed:
        thing_id: Identifier(required=True)
        number: Integer(required=True)
        fails: String(max_length=20)

    @domain.aggregate
    class Thing:
        number: Integer(default=0)

    @domain.command(part_of=Thing)
    class Make:
        thing_id: Identifier(required=True)

    @domain.command(part_of=Thing)
    class Change:
        thing_id: Identifier(required=True)
        notes: Integer(default=0)
        fails: String(max_length=20)

    @domain.command_handler(part_of=Thing)
    class Maker:
        @handle(Make)
        def make(self, command: Any) -> int:
            thing = Thing(id=command.thing_id)
            thing.raise_(Made(thing_id=thing.id, number=0))
            current_domain.repository_for(Thing).add(thing)
            return 0

        @handle(Change)
        def change(self, command: Any) -> int:
            things = current_domain.repository_for(Thing)
            thing = things.get(command.thing_id)
            for _ in range(command.notes):
                thing.number += 1
                thing.raise_(Noted(thing_id=thing.id, number=thing.number))
            thing.number += 1
            thing.raise_(Changed(thing_id=thing.id, number=thing.number, fails=command.fails))
            things.add(thing)
            number: int = thing.number
            return number

    @domain.projection
    class Everything:
        """Keyed by the thing, so that group commits fetch these rows ahead; an entry is `number message priority`."""

        thing_id: Identifier(identifier=True)
        applied: list[str] = []

    @domain.projection
    class Changes:
        thing_id: Identifier(identifier=True)
        applied: list[str] = []

    @domain.projection
    class Letter:
        """One application of the handler without an order: it may run for two messages of a thing at once."""

        id: Identifier(identifier=True)
        message_id: String(required=True, max_length=36)
        number: Integer(required=True)
        priority: Integer(required=True)

    def enter(projection: Any, event: Any) -> None:
        rows = current_domain.repository_for(projection)
        row = rows.get_or_none(event.thing_id) or projection(thing_id=event.thing_id)
        row.applied = [*row.applied, f"{event.number} {handled_message()} {current_priority()}"]
        rows.add(row)
        fail_if_told(projection.__name__, event)

    @domain.projector(projector_for=Everything, aggregates=[Thing])
    class EverythingProjector:
        @on(Made)
        @on(Noted)
        @on(Changed)
        def happened(self, event: Any) -> None:
            enter(Everything, event)

    @domain.projector(projector_for=Changes, aggregates=[Thing])
    class ChangesProjector:
        @on(Changed)
        def changed(self, event: Any) -> None:
            enter(Changes, event)

    @domain.event_handler(part_of=Thing)
    class Postman:
        """Listens to something of every commit: what a projector would read from the log later is lost to it."""

        @handle(Made)
        @handle(Changed)
        def happened(self, event: Any) -> None:
            letter = Letter(
                id=str(uuid4()), message_id=handled_message(), number=event.number, priority=current_priority()
            )
            current_domain.repository_for(Letter).add(letter)
            fail_if_told("Postman", event)

    domain.init()
    return Things(domain, Make, Change, Everything, Changes, Letter)


def handled_message() -> str:
    """The id of the message in hand."""
    cause = current_cause()
    return "none" if cause is None else cause.message_id


def fail_if_told(handler: str, event: Any) -> None:
    """After the effect, so that it is there to be undone."""
    fails = getattr(event, "fails", None)
    if fails == FOR_EVER or (fails == FOR_A_WHILE and time.time() - first_attempt(handler) < WHILE):
        raise ValueError(f"{event.thing_id} cannot take {event.number} now")


def first_attempt(handler: str) -> float:
    """When the handler was first called with the message in hand, in seconds since 1970, whichever process it was."""
    mark = Path(os.environ[FOLDER]) / f"{handler} {handled_message()}"
    if not mark.exists():
        mark.touch()
    return mark.stat().st_mtime
