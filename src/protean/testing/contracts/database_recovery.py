"""`Recovery`: what was lost is known, and what was handled without a gap."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from protean.ports.database import Database
from protean.ports.progress import FailureState
from protean.testing.contracts.database_steps import BROKER, Elsewhere, append, failure, logged, message, transaction
from protean.testing.contracts.recovery_steps import ALL, BOTH, MAILER, advance, handle, publish, standing


class RecoveryContract:
    @pytest.fixture
    def elsewhere(self) -> Iterator[Elsewhere]:
        thread = Elsewhere()
        yield thread
        thread.close()

    # Lanes

    def test_a_lane_is_opened_once(self, database: Database) -> None:
        database.recovery.open_lanes(BROKER, ["backfill", "primary"])
        first = database.recovery.lanes(BROKER)
        database.recovery.open_lanes(BROKER, ["primary"])
        database.recovery.open_lanes("other", ["primary"])
        assert database.recovery.lanes(BROKER) == first
        assert [(state.lane, state.published, state.lost_at) for state in first] == [
            ("backfill", 0, None),
            ("primary", 0, None),
        ]
        assert len({state.tally.key for state in first}) == 2

    def test_a_loss_is_news_once_and_dated_anew_each_time(self, database: Database) -> None:
        database.recovery.open_lanes(BROKER, ["primary"])
        assert database.recovery.lose(BROKER, "primary", "first")
        (before,) = database.recovery.lanes(BROKER)
        assert not database.recovery.lose(BROKER, "primary", "second")
        (after,) = database.recovery.lanes(BROKER)
        assert before.lost_at is not None
        assert after.lost_at is not None
        assert after.lost_at >= before.lost_at
        assert after.lost_why == "first"

    def test_evidence_about_an_epoch_that_has_ended_says_nothing(self, database: Database) -> None:
        database.recovery.open_lanes(BROKER, ["primary"])
        assert not database.recovery.lose(BROKER, "primary", "old news", epoch="another")
        (state,) = database.recovery.lanes(BROKER)
        assert state.lost_at is None
        assert database.recovery.lose(BROKER, "primary", "news", epoch=state.epoch)

    # Registration

    def test_a_handler_is_registered_once_at_the_end_of_the_log(self, database: Database) -> None:
        (old,) = logged(database, message())
        publish(database)
        assert database.recovery.register("default", BOTH) == set()
        first = database.recovery.standings()
        append(database, message())
        assert database.recovery.register("default", BOTH) == set()  # known, but not of old
        assert database.recovery.standings() == first
        assert {(each.start, each.floor, each.head) for each in first} == {(old.global_position,) * 3}

    def test_what_is_still_to_be_published_is_above_the_start(self, database: Database) -> None:
        _, second, _ = logged(database, message(), message(), message())
        with database.outbox.claim(ALL, 1) as batch:
            assert batch is not None
            batch.published([row.id for row in batch.rows])
        database.recovery.register("default", [MAILER])
        assert standing(database, MAILER).start == second.global_position - 1

    def test_a_type_that_is_handled_later_is_registered_later(self, database: Database) -> None:
        database.recovery.register("default", [MAILER])
        (seen,) = logged(database, message())
        publish(database)
        database.recovery.register("default", [replace(MAILER, types=(*MAILER.types, "CustomerMoved"))])
        starts = {each.types: each.start for each in database.recovery.standings()}
        assert starts == {("CustomerRegistered",): 0, ("CustomerMoved",): seen.global_position}

    # Floors

    def test_the_floor_rises_over_what_is_handled_and_stops_below_what_is_not(self, database: Database) -> None:
        database.recovery.register("default", BOTH)
        sent = logged(database, *(message(f"customer-{n}") for n in range(10)), message("order-1"))
        publish(database)
        handle(database, [*sent[:7], *sent[8:10]], *BOTH)
        for interest in BOTH:
            assert advance(database, interest) == (sent[6].global_position, sent[7].global_position)
        handle(database, sent[7:8], *BOTH)
        for interest in BOTH:
            assert advance(database, interest) == (sent[-1].global_position, None)

    def test_a_failure_and_a_block_let_the_floor_pass(self, database: Database) -> None:
        database.recovery.register("default", BOTH)
        sent = logged(database, message("customer-1"), message("customer-1"))
        with transaction(database) as tx:
            tx.positions.lock("Projector", ["customer-1"])
            tx.positions.block("Projector", "customer-1", True)
            tx.failures.save(failure(sent[0].id, handler="Mailer", state=FailureState.DEAD))
            tx.failures.save(failure(sent[1].id, handler="Mailer", state=FailureState.ARCHIVED))
        for interest in BOTH:
            assert advance(database, interest) == (sent[1].global_position, None)

    def test_what_keeps_the_floor_down_tells_whether_it_is_still_on_its_way(self, database: Database) -> None:
        database.recovery.register("default", [MAILER])
        append(database, message())
        settled = database.recovery.settle()
        for unpublished in (True, False):
            step = database.recovery.advance(MAILER, standing(database, MAILER), settled, 10)
            assert step is not None
            assert (step.stuck_at, step.unpublished) == (settled, unpublished)
            publish(database)

    def test_the_floor_stays_below_a_transaction_that_is_still_open(
        self, database: Database, elsewhere: Elsewhere
    ) -> None:
        database.recovery.register("default", [MAILER])
        late = database.transaction()
        late.log.append([message("customer-1")], BROKER)
        assert late.log.head("customer-1") == 0
        other = elsewhere.start(logged, database, message("customer-2"))
        if not elsewhere.waits(other):
            handle(database, other.result(), MAILER)
            for _ in range(3):
                assert advance(database, MAILER)[0] == 0
        late.commit()
        sent = other.result(timeout=20)
        handle(database, sent, MAILER)
        first = sent[0].global_position - 1
        assert {advance(database, MAILER) for _ in range(3)} == {(first - 1, first)}

    def test_a_type_that_the_code_knows_no_longer_keeps_its_floor(self, database: Database) -> None:
        more = replace(MAILER, types=(*MAILER.types, "CustomerMoved"))
        database.recovery.register("default", [more])
        sent = logged(database, message())
        handle(database, sent, MAILER)
        (before,) = database.recovery.standings()
        assert database.recovery.advance(MAILER, before, database.recovery.settle(), 10) is not None
        floors = {each.types: each.floor for each in database.recovery.standings()}
        assert floors == {("CustomerRegistered",): sent[0].global_position, ("CustomerMoved",): 0}

    def test_of_two_that_raise_a_floor_one_finds_it_raised(self, database: Database) -> None:
        database.recovery.register("default", [MAILER])
        handle(database, logged(database, message()), MAILER)
        seen, settled = standing(database, MAILER), database.recovery.settle()
        assert database.recovery.advance(MAILER, seen, settled, 10) is not None
        assert database.recovery.advance(MAILER, seen, settled, 10) is None

    # The inbox

    def test_what_lies_below_the_floor_is_known_without_its_row(self, database: Database) -> None:
        (before,) = logged(database, message())
        publish(database)
        database.recovery.register("default", [MAILER])
        handled, failed = logged(database, message(), message())
        handle(database, [handled], MAILER)
        with transaction(database) as tx:
            tx.failures.save(failure(failed.id, handler="Mailer"))
        assert advance(database, MAILER) == (failed.global_position, None)
        future = datetime.now(UTC) + timedelta(minutes=1)
        assert database.recovery.prune_inbox(MAILER, standing(database, MAILER), future, 0, 10).rows == 1
        with transaction(database) as tx:
            assert tx.inbox.record("Mailer", [before, handled, failed]) == {before.id}
            assert tx.inbox.record("Mailer", [failed], failed_before=True) == {failed.id}
            assert tx.inbox.record("Mailer", [replace(handled, type="CustomerMoved")]) == {handled.id}
            assert tx.inbox.record("Other", [handled]) == {handled.id}

    def test_the_inbox_is_pruned_between_start_and_floor_and_not_before_its_time(self, database: Database) -> None:
        old = logged(database, message(), message())
        publish(database)
        database.recovery.register("default", [MAILER])
        sent = logged(database, *(message() for _ in range(6)))
        handle(database, [*old, *sent[:4], *sent[5:]], MAILER)
        advance(database, MAILER)
        now, at = datetime.now(UTC), standing(database, MAILER)
        assert database.recovery.prune_inbox(MAILER, at, now - timedelta(hours=1), 0, 3).rows == 0
        pruned, after = [], 0
        while True:
            step = database.recovery.prune_inbox(MAILER, at, now + timedelta(hours=1), after, 3)
            if step.upto is None:
                break
            pruned.append(step.rows)
            after = step.upto
        assert pruned == [3, 1]
        with transaction(database) as tx:  # rows below the start and above the floor are there
            assert tx.inbox.record("Mailer", [*old, *sent]) == {sent[4].id}
