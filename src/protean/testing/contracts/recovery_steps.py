"""Steps that the recovery contracts' stories are told in."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Sequence

from protean.message import Message
from protean.ports.database import Database
from protean.ports.outbox import Claim
from protean.ports.recovery import Interest, Standing
from protean.testing.contracts.database_steps import BROKER, transaction

PROJECTOR = Interest("Projector", True, ("customer",), ("CustomerRegistered",))
MAILER = Interest("Mailer", False, ("customer",), ("CustomerRegistered",))
BOTH = (PROJECTOR, MAILER)
ALL = Claim(BROKER, "primary")


def publish(database: Database) -> list[int]:
    """Publish everything; the global positions in order."""
    with database.outbox.claim(ALL, 10_000) as batch:
        assert batch is not None
        batch.published([row.id for row in batch.rows], 1)
        return [row.global_position for row in batch.rows]


def handle(database: Database, messages: Sequence[Message], *interests: Interest) -> None:
    """What handlers leave behind that have handled the messages."""
    with transaction(database) as tx:
        for interest in interests:
            if interest.sequenced:
                for each in messages:
                    tx.positions.lock(interest.handler, [each.stream_name])
                    tx.positions.move(interest.handler, {each.stream_name: each.position})
            else:
                tx.inbox.record(interest.handler, messages)


def standing(database: Database, interest: Interest) -> Standing:
    (found,) = [each for each in database.recovery.standings() if each.handler == interest.handler]
    return found


def advance(database: Database, interest: Interest, *, drained: bool = False) -> tuple[int, int | None]:
    """Raise the floor as far as it goes; where it is, and what keeps it there."""
    settled, stuck = database.recovery.settle(), None
    while True:
        step = database.recovery.advance(interest, standing(database, interest), settled, 3, drained=drained)
        assert step is not None
        stuck = step.stuck_at
        if not step.more:
            return standing(database, interest).floor, stuck


def reconcile(database: Database, *interests: Interest, limit: int = 2) -> int | None:
    """Make a loss good, step by step; how many messages were published again, None if nothing was lost."""
    begun = database.recovery.begin(BROKER, interests)
    while begun is not None and begun.cursor < begun.until:
        begun = database.recovery.step(BROKER, interests, limit)
    if begun is None:
        return None
    assert database.recovery.finish(BROKER)
    return begun.republished


def lose(database: Database) -> None:
    database.recovery.open_lanes(BROKER, ["primary"])
    database.recovery.lose(BROKER, "primary", "on purpose")
