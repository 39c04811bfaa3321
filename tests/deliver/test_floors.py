"""A message is lost when it was published, is nowhere on its way, and is still not handled: no sooner, and no guess."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from protean.adapters.memory.database import MemoryDatabase
from protean.deliver import floors
from protean.deliver.floors import FloorKeeper
from protean.message import Message
from protean.ports.outbox import Claim
from protean.ports.recovery import Interest
from protean.testing.contracts.database_steps import logged, message, transaction

MAILER = Interest("Mailer", False, ("customer",), ("CustomerRegistered",))


class Place:
    """A handler that was there before `sent` was published, of which it has handled nothing."""

    def __init__(self, *, published: bool = True) -> None:
        self.database, self.told = MemoryDatabase(), list[str]()
        self.database.recovery.register("default", [MAILER])
        self.sent = logged(self.database, *(message() for _ in range(5)))
        if published:
            with self.database.outbox.claim(Claim("default", "primary"), 10) as batch:
                assert batch is not None
                batch.published([row.id for row in batch.rows])

    def handle(self, *messages: Message) -> None:
        with transaction(self.database) as tx:
            tx.inbox.record("Mailer", messages)

    def look(self, backlog: Callable[[], int] = lambda: 0, *, known_loss: bool = False) -> int:
        keeper = FloorKeeper(
            self.database.recovery,
            "default",
            [MAILER],
            backlog=lambda interest: backlog(),
            missing=self.told.append,
            known_loss=lambda: known_loss,
        )
        return keeper.raise_floors(threading.Event())


def test_what_is_on_no_stream_and_not_handled_is_lost() -> None:
    place = Place()
    place.handle(*place.sent[:2], *place.sent[3:])
    assert place.look() == 2
    assert place.told == ["Mailer has not handled the message at 3, which is on no stream"]


def test_what_is_unread_or_pending_is_not_lost() -> None:
    place = Place()
    place.look(lambda: 1)
    assert place.told == []


def test_what_is_still_in_the_outbox_is_not_lost() -> None:
    place = Place(published=False)
    place.look()
    assert place.told == []


def test_what_was_handled_while_it_was_looked_for_is_not_lost() -> None:
    place = Place()

    def handled_and_acknowledged() -> int:
        place.handle(*place.sent)
        return 0

    assert place.look(handled_and_acknowledged) == 5
    assert place.told == []


def test_what_is_published_while_it_is_looked_for_is_not_lost() -> None:
    """The streams were empty when they were looked at; the second message came on them a moment later."""
    place = Place(published=False)
    outbox = place.database.outbox
    with outbox.claim(Claim("default", "primary"), 1) as batch:
        assert batch is not None
        batch.published([row.id for row in batch.rows])

    def first_is_handled_then_the_rest_published() -> int:
        place.handle(place.sent[0])
        with outbox.claim(Claim("default", "primary"), 10) as batch:
            assert batch is not None
            batch.published([row.id for row in batch.rows])
        return 0

    place.look(first_is_handled_then_the_rest_published)
    assert place.told == []


def test_a_loss_that_is_known_is_not_told_again() -> None:
    place = Place()
    place.look(known_loss=True)
    assert place.told == []


def test_a_floor_rises_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "STEP", 2)
    place = Place()
    place.handle(*place.sent)
    assert place.look() == 5
    assert place.look() == 0


def test_a_registration_that_was_emptied_is_made_anew() -> None:
    place = Place()
    place.database.truncate([])
    assert place.look() == 0
    assert [standing.handler for standing in place.database.recovery.standings()] == ["Mailer"]
