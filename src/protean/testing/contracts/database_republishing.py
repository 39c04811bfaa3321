"""`Recovery`: what was lost between what was committed and what was handled is published again."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from protean.ports.database import Database
from protean.testing.contracts.database_steps import BROKER, NOON, Elsewhere, append, logged, message
from protean.testing.contracts.recovery_steps import (
    ALL,
    BOTH,
    MAILER,
    PROJECTOR,
    advance,
    handle,
    lose,
    publish,
    reconcile,
    standing,
)


class RepublishingContract:
    @pytest.fixture
    def elsewhere(self) -> Iterator[Elsewhere]:
        thread = Elsewhere()
        yield thread
        thread.close()

    # Reconciling

    def test_without_a_loss_there_is_nothing_to_make_good(self, database: Database) -> None:
        database.recovery.open_lanes(BROKER, ["primary"])
        assert database.recovery.begin(BROKER, BOTH) is None
        assert database.recovery.step(BROKER, BOTH, 10) is None
        assert not database.recovery.finish(BROKER)

    def test_what_somebody_has_not_handled_is_published_again_in_order(self, database: Database) -> None:
        database.recovery.register("default", BOTH)
        sent = logged(database, *(message(f"customer-{n}", n % 3) for n in range(9)), message("order-1"))
        publish(database)
        handle(database, sent[:4], MAILER)
        handle(database, [*sent[:2], sent[6]], PROJECTOR)
        lose(database)
        assert reconcile(database, *BOTH) == 7
        with database.outbox.claim(ALL, 100) as batch:
            assert batch is not None
            again = sorted(batch.rows, key=lambda row: row.id)
        assert [row.global_position for row in again] == [each.global_position for each in sent[2:9]]
        assert [row.priority for row in again] == [n % 3 for n in range(2, 9)]
        assert {row.attempts for row in again} == {0}
        assert [state.lost_at for state in database.recovery.lanes(BROKER)] == [None]

    def test_what_is_still_on_its_way_or_was_given_up_is_not_published_twice(self, database: Database) -> None:
        database.recovery.register("default", BOTH)
        append(database, message(), message())
        with database.outbox.claim(ALL, 1) as batch:
            assert batch is not None
            batch.refused(batch.rows[0].id, "too large", None)
        lose(database)
        assert reconcile(database, *BOTH) == 0

    def test_what_lies_below_the_floor_is_left_alone(self, database: Database) -> None:
        database.recovery.register("default", [MAILER])
        sent = logged(database, *(message() for _ in range(3)))
        publish(database)
        handle(database, sent[:2], MAILER)
        advance(database, MAILER)
        future = datetime.now(UTC) + timedelta(minutes=1)
        database.recovery.prune_inbox(MAILER, standing(database, MAILER), future, 0, 10)
        lose(database)
        assert reconcile(database, MAILER) == 1

    def test_a_handler_is_owed_nothing_that_was_published_before_it_was_registered(self, database: Database) -> None:
        history = logged(database, *(message() for _ in range(4)))
        with database.outbox.claim(ALL, 10) as batch:
            assert batch is not None
            batch.published([row.id for row in batch.rows[1:]])  # the first is still to be published
        database.recovery.register("default", [MAILER])
        assert standing(database, MAILER).start == history[0].global_position - 1
        publish(database)
        lose(database)
        assert reconcile(database, MAILER) == 1
        assert publish(database) == [history[0].global_position]

    def test_the_proof_of_what_is_owed_is_not_pruned_before_the_floor_has_passed(self, database: Database) -> None:
        """As at the first start of an engine, with a backlog that takes longer than published rows are kept."""
        backlog = logged(database, *(message() for _ in range(4)))
        database.recovery.register("default", [MAILER])
        publish(database)
        later = datetime.now(UTC) + timedelta(minutes=1)
        assert database.outbox.prune(later, 10) == 0
        lose(database)
        assert reconcile(database, MAILER) == 4
        publish(database)
        handle(database, backlog, MAILER)
        assert advance(database, MAILER) == (backlog[-1].global_position, None)
        assert database.outbox.prune(later, 10) == 8

    def test_what_is_not_owed_is_passed_only_when_nothing_can_come_any_more(self, database: Database) -> None:
        history = logged(database, *(message() for _ in range(4)))
        with database.outbox.claim(ALL, 10) as batch:
            assert batch is not None
            batch.published([row.id for row in batch.rows[1:]])
        database.recovery.register("default", [MAILER])
        publish(database)
        handle(database, history[:1], MAILER)
        first, second = (each.global_position for each in history[:2])
        assert advance(database, MAILER) == (first, second)
        assert advance(database, MAILER, drained=True) == (history[-1].global_position, None)

    def test_a_new_epoch_begins_and_the_old_tallies_are_retired(self, database: Database) -> None:
        database.recovery.open_lanes(BROKER, ["backfill", "primary"])
        append(database, message())
        publish(database)
        before = database.recovery.lanes(BROKER)
        lose(database)
        begun = database.recovery.begin(BROKER, BOTH)
        assert begun is not None
        assert set(begun.retired) == {state.tally.key for state in before}
        after = database.recovery.lanes(BROKER)
        assert {state.published for state in after} == {0}
        assert not {state.epoch for state in before} & {state.epoch for state in after}

    def test_what_was_begun_is_taken_up_where_it_was_left(self, database: Database) -> None:
        database.recovery.register("default", [MAILER])
        append(database, *(message() for _ in range(5)))
        publish(database)
        lose(database)
        begun = database.recovery.begin(BROKER, [MAILER])
        step = database.recovery.step(BROKER, [MAILER], 2)
        assert begun is not None
        assert step is not None
        assert (step.cursor - begun.cursor, step.republished) == (2, 2)
        assert not database.recovery.finish(BROKER)
        again = database.recovery.begin(BROKER, [MAILER])
        assert again is not None
        assert (again.cursor, again.until, again.republished, again.retired) == (step.cursor, step.until, 2, ())
        assert reconcile(database, MAILER) == 5

    def test_a_loss_that_is_found_meanwhile_is_made_good_afterwards(self, database: Database) -> None:
        database.recovery.register("default", [MAILER])
        append(database, message())
        publish(database)
        lose(database)
        database.recovery.begin(BROKER, [MAILER])
        database.recovery.lose(BROKER, "primary", "once more")
        assert reconcile(database, MAILER) == 1
        assert [state.lost_at is None for state in database.recovery.lanes(BROKER)] == [False]
        assert reconcile(database, MAILER) == 0
        assert [state.lost_at is None for state in database.recovery.lanes(BROKER)] == [True]

    def test_a_batch_in_flight_is_waited_for(self, database: Database, elsewhere: Elsewhere) -> None:
        database.recovery.register("default", [MAILER])
        append(database, message())
        lose(database)
        with database.outbox.claim(ALL, 10) as batch:
            assert batch is not None
            begin = elsewhere.start(database.recovery.begin, BROKER, [MAILER])
            assert elsewhere.waits(begin)
            batch.published([row.id for row in batch.rows], 1)
        assert begin.result(timeout=20) is not None
        assert [state.published for state in database.recovery.lanes(BROKER)] == [0]
        assert reconcile(database, MAILER) == 1

    # By hand

    def test_by_hand_it_is_the_moment_that_counts_and_not_the_floor(self, database: Database) -> None:
        times = [NOON + timedelta(hours=hours) for hours in (0, 2, 4, 6)]
        sent = logged(database, *(replace(message(), time=time) for time in times))
        publish(database)
        database.recovery.register("default", [MAILER])  # all of it is history for it
        handle(database, sent[2:3], MAILER)
        since = times[1]
        after = database.recovery.position_at(since)
        assert after < sent[1].global_position
        upto = database.recovery.window(after, 100)
        assert upto == sent[-1].global_position
        assert database.recovery.window(upto, 100) == upto
        assert database.recovery.count(MAILER, since, after, upto) == 2
        assert database.recovery.republish(BROKER, [MAILER], since, after, upto) == 2
        assert database.recovery.count(MAILER, since, after, upto) == 0
        assert publish(database) == [sent[1].global_position, sent[3].global_position]

    def test_by_hand_what_a_floor_vouches_for_counts_as_handled(self, database: Database) -> None:
        database.recovery.register("default", BOTH)
        sent = logged(database, message("customer-1"), message("customer-2"))
        publish(database)
        handle(database, sent, *BOTH)
        for interest in BOTH:
            advance(database, interest)
        future = datetime.now(UTC) + timedelta(minutes=1)
        database.recovery.prune_inbox(MAILER, standing(database, MAILER), future, 0, 10)
        upto = sent[-1].global_position
        assert [database.recovery.count(interest, NOON, 0, upto) for interest in BOTH] == [0, 0]

    def test_by_hand_a_handler_that_never_ran_gets_all_of_it(self, database: Database) -> None:
        sent = logged(database, *(message(f"customer-{n}") for n in range(3)))
        publish(database)
        upto = sent[-1].global_position
        assert [database.recovery.count(interest, NOON, 0, upto) for interest in BOTH] == [3, 3]
        assert database.recovery.republish(BROKER, BOTH, NOON, 0, upto) == 3
