"""`Recovery` and `Outbox`: what is published for handlers of other releases, and forgetting those that are gone."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from protean.ports.database import Database
from protean.ports.recovery import Interest, Remains
from protean.testing.contracts.database_steps import BROKER, Elsewhere, append, failure, logged, message, transaction
from protean.testing.contracts.recovery_steps import ALL, BOTH, MAILER, PROJECTOR, handle, publish, standing

MOVED = Interest("Mover", False, ("customer",), ("CustomerMoved",))


def awaited(database: Database) -> list[bool]:
    with database.outbox.claim(ALL, 10) as batch:
        assert batch is not None
        return [row.awaited for row in batch.rows]


class ComingAndGoingContract:
    @pytest.fixture
    def elsewhere(self) -> Iterator[Elsewhere]:
        thread = Elsewhere()
        yield thread
        thread.close()

    def test_a_row_is_awaited_from_the_registration_of_its_first_handler_on(self, database: Database) -> None:
        append(database, message())
        database.recovery.register("default", [MOVED])  # it handles another type
        assert awaited(database) == [False]
        database.recovery.register("default", [MAILER])
        assert awaited(database) == [True]

    def test_nobody_is_registered_while_a_relay_has_a_batch_in_hand(
        self, database: Database, elsewhere: Elsewhere
    ) -> None:
        """It was decided without the handler which of these rows are published: they must be marked before."""
        database.recovery.open_lanes(BROKER, [ALL.name])
        append(database, message())
        with database.outbox.claim(ALL, 10) as batch:
            assert batch is not None
            registering = elsewhere.start(database.recovery.register, "default", [MAILER])
            assert elsewhere.waits(registering)
            batch.published([row.id for row in batch.rows])
        registering.result()
        registered = standing(database, MAILER)
        assert registered.start == registered.head  # nothing was on its way any more

    def test_what_a_handler_has_left_is_counted_and_removed_bit_by_bit(self, database: Database) -> None:
        database.recovery.register("default", BOTH)
        sent = logged(database, *(message(f"customer-{number}") for number in range(5)))
        publish(database)
        handle(database, sent, PROJECTOR, MAILER)
        with transaction(database) as tx:
            tx.failures.save(failure(sent[0].id, handler="Mailer"))
            tx.failures.save(failure(sent[0].id, handler="Projector"))
        assert database.recovery.remains("Mailer") == Remains(0, 5, 1)
        future = datetime.now(UTC) + timedelta(minutes=1)
        removed = []
        while True:
            rows = database.recovery.remove("Mailer", future, 2)
            assert rows is not None
            removed.append(rows)
            if not rows:
                break
        assert removed == [3, 2, 1, 0]
        assert database.recovery.remains("Mailer") == Remains(0, 0, 0)
        assert database.recovery.remains("Projector") == Remains(5, 0, 1)
        assert [each.handler for each in database.recovery.standings()] == ["Projector"]

    def test_what_was_never_there_is_removed_at_once(self, database: Database) -> None:
        assert database.recovery.remains("Nobody") == Remains(0, 0, 0)
        assert database.recovery.remove("Nobody", datetime.now(UTC), 10) == 0

    def test_a_handler_that_an_engine_has_had_since_is_left_alone(self, database: Database) -> None:
        database.recovery.register("default", [MAILER])
        handle(database, logged(database, message()), MAILER)
        past = datetime.now(UTC) - timedelta(minutes=1)
        assert database.recovery.remove("Mailer", past, 10) is None
        assert database.recovery.remains("Mailer") == Remains(0, 1, 0)
        assert abs(standing(database, MAILER).seen_at - datetime.now(UTC)) < timedelta(minutes=1)

    def test_a_handler_that_comes_back_is_a_new_one(self, database: Database) -> None:
        database.recovery.register("default", [MAILER])
        sent = logged(database, message())
        publish(database)
        assert database.recovery.remove("Mailer", datetime.now(UTC) + timedelta(minutes=1), 10) == 0
        assert database.recovery.register("default", [MAILER]) == set()
        assert standing(database, MAILER).start == sent[0].global_position
