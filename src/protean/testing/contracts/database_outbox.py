"""`Outbox`: claimed in order, by one relay per lane, and nothing that commits late is skipped."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from protean.ports.broker import BEHIND
from protean.ports.database import Database
from protean.ports.outbox import Claim
from protean.testing.contracts.database_steps import BROKER, Elsewhere, append, message, outcomes, transaction

PRIMARY = Claim(BROKER, "primary", at_least=0)
BACKFILL = Claim(BROKER, "backfill", below=0)


def publish(database: Database, claim: Claim, limit: int = 1000) -> list[int] | None:
    """Claim and mark; the priorities in the order they came, None when another relay was at it."""
    with database.outbox.claim(claim, limit) as batch:
        if batch is None:
            return None
        batch.published([row.id for row in batch.rows])
        return [row.priority for row in batch.rows]


class OutboxContract:
    @pytest.fixture
    def elsewhere(self) -> Iterator[Elsewhere]:
        thread = Elsewhere()
        yield thread
        thread.close()

    def test_a_row_tells_what_the_lane_needs(self, database: Database) -> None:
        append(database, message("customer-1", 50), message("customer-1", 50))
        with database.outbox.claim(PRIMARY, 10) as batch:
            assert batch is not None
            first, second = batch.rows
        assert (first.category, first.priority, first.attempts) == ("customer", 50, 0)
        assert (first.position, second.position) == (0, 1)
        assert first.global_position < second.global_position
        assert abs(first.created_at - datetime.now(UTC)) < timedelta(minutes=1)
        assert first.data == "{}"
        assert first.metadata.endswith("}")

    def test_highest_priority_comes_first_then_the_oldest(self, database: Database) -> None:
        priorities = [0, 100, 50, 0, 100]
        append(database, *(message(priority=priority) for priority in priorities))
        with database.outbox.claim(PRIMARY, 4) as batch:
            assert batch is not None
            assert [(row.priority, row.position) for row in batch.rows] == [(100, 1), (100, 4), (50, 2), (0, 0)]

    def test_500_equal_priorities_keep_their_order(self, database: Database) -> None:
        append(database, *(message(f"customer-{n % 37}") for n in range(500)))
        for _ in range(2):
            with database.outbox.claim(PRIMARY, 250) as batch:
                assert batch is not None
                ids = [row.id for row in batch.rows]
                assert ids == sorted(ids)
                assert len(ids) == 250
                batch.published(ids)
        assert publish(database, PRIMARY) == []

    def test_each_lane_takes_its_own_range_and_broker(self, database: Database) -> None:
        append(database, *(message(priority=priority) for priority in (-100, -1, 0, 100)))
        append(database, message(), broker="other")
        assert database.outbox.waiting(BACKFILL)
        assert publish(database, BACKFILL) == [-1, -100]
        assert not database.outbox.waiting(BACKFILL)
        assert publish(database, Claim(BROKER, "all")) == [100, 0]
        assert publish(database, Claim("other", "all")) == [0]

    def test_an_error_in_the_block_marks_nothing(self, database: Database) -> None:
        append(database, message())
        with pytest.raises(ZeroDivisionError), database.outbox.claim(PRIMARY, 10) as batch:  # noqa: PT012 - the block is the subject
            assert batch is not None
            batch.published([row.id for row in batch.rows])
            raise ZeroDivisionError
        assert publish(database, PRIMARY) == [0]

    def test_two_relays_of_a_lane_exclude_each_other_and_no_other_lane(
        self, database: Database, elsewhere: Elsewhere
    ) -> None:
        append(database, message(priority=0), message(priority=-50))
        with database.outbox.claim(PRIMARY, 10) as batch:
            assert batch is not None
            others = [elsewhere.start(publish, database, claim) for claim in (PRIMARY, BACKFILL)]
            assert outcomes(others) == [None, [-50]]
        assert publish(database, PRIMARY) == [0]

    def test_a_commit_that_comes_late_is_not_skipped(self, database: Database, elsewhere: Elsewhere) -> None:
        late = database.transaction()
        late.log.append([message("customer-1")], BROKER)
        assert late.log.head("customer-1") == 0
        other = elsewhere.start(append, database, message("customer-2"))
        waited = elsewhere.waits(other)
        published = [] if waited else publish(database, PRIMARY)
        late.commit()
        other.result(timeout=20)
        assert len(published or []) + len(publish(database, PRIMARY) or []) == 2
        assert not database.outbox.waiting(PRIMARY)

    def test_a_refused_row_waits_for_its_time_and_counts(self, database: Database) -> None:
        append(database, message("customer-1"), message("customer-2"))
        with database.outbox.claim(PRIMARY, 10) as batch:
            assert batch is not None
            soon, later = batch.rows
            batch.refused(soon.id, "too large", datetime.now(UTC) - timedelta(seconds=1))
            batch.refused(later.id, "too\0large", datetime.now(UTC) + timedelta(hours=1))
        with database.outbox.claim(PRIMARY, 10) as batch:
            assert batch is not None
            assert [(row.id, row.attempts) for row in batch.rows] == [(soon.id, 1)]
            batch.refused(soon.id, "too large", None)
        assert not database.outbox.waiting(PRIMARY)
        assert {(count.status, count.rows) for count in database.outbox.count()} == {("failed", 1), ("pending", 1)}
        assert database.outbox.owed() == database.outbox.count()

    def test_rows_are_counted_by_what_they_are(self, database: Database) -> None:
        append(database, message(priority=-50), message(priority=-50), message("order-1"))
        assert publish(database, PRIMARY) == [0]
        assert [
            (count.broker, count.category, count.priority, count.status, count.rows)
            for count in database.outbox.count()
        ] == [(BROKER, "customer", -50, "pending", 2), (BROKER, "order", 0, "published", 1)]
        assert database.outbox.owed() == [each for each in database.outbox.count() if each.status == "pending"]

    def test_rows_that_were_given_up_can_be_revived_a_few_at_a_time(self, database: Database) -> None:
        append(database, *(message() for _ in range(3)))
        with database.outbox.claim(PRIMARY, 10) as batch:
            assert batch is not None
            for row in batch.rows:
                batch.refused(row.id, "too large", None)
        assert [database.outbox.revive(2) for _ in range(3)] == [2, 1, 0]
        with database.outbox.claim(PRIMARY, 10) as batch:
            assert batch is not None
            assert [(row.position, row.attempts) for row in batch.rows] == [(0, 0), (1, 0), (2, 0)]

    def test_a_batch_knows_the_lanes_count_and_notes_the_brokers_with_its_marks(self, database: Database) -> None:
        database.recovery.open_lanes(BROKER, ["primary", "backfill"])
        for known in (0, 1, 5):
            append(database, message())
            with database.outbox.claim(PRIMARY, 10) as batch:
                assert batch is not None
                assert batch.tally.known == known
                batch.published([row.id for row in batch.rows], {0: 1, 1: 5, 5: 6}[known])
        assert {state.lane: state.published for state in database.recovery.lanes(BROKER)} == {
            "backfill": 0,
            "primary": 6,
        }

    def test_an_error_leaves_the_count_as_it_was(self, database: Database) -> None:
        database.recovery.open_lanes(BROKER, ["primary"])
        append(database, message())
        with pytest.raises(ZeroDivisionError), database.outbox.claim(PRIMARY, 10) as batch:  # noqa: PT012 - the block is the subject
            assert batch is not None
            batch.published([row.id for row in batch.rows], 7)
            raise ZeroDivisionError
        assert [state.published for state in database.recovery.lanes(BROKER)] == [0]

    def test_what_the_broker_has_lost_is_noted_with_the_marks_and_the_count_stays(self, database: Database) -> None:
        database.recovery.open_lanes(BROKER, ["primary"])
        append(database, message())
        with database.outbox.claim(PRIMARY, 10) as batch:
            assert batch is not None
            batch.published([row.id for row in batch.rows], 3)
        append(database, message())
        with database.outbox.claim(PRIMARY, 10) as batch:
            assert batch is not None
            batch.published([row.id for row in batch.rows], BEHIND)
        assert publish(database, PRIMARY) == []
        (state,) = database.recovery.lanes(BROKER)
        assert (state.published, state.lost_at is not None) == (3, True)

    def test_a_lane_that_was_never_opened_counts_from_its_first_batch(self, database: Database) -> None:
        append(database, message())
        with database.outbox.claim(PRIMARY, 10) as batch:
            assert batch is not None
            tally = batch.tally
            batch.published([row.id for row in batch.rows], 1)
        (state,) = database.recovery.lanes(BROKER)
        assert (state.tally.key, tally.known, state.published) == (tally.key, 0, 1)

    def test_pruning_takes_published_rows_a_few_at_a_time(self, database: Database) -> None:
        append(database, *(message() for _ in range(5)), message(priority=-50))
        publish(database, PRIMARY)
        future = datetime.now(UTC) + timedelta(minutes=1)
        assert database.outbox.prune(future - timedelta(hours=1), 10) == 0
        assert [database.outbox.prune(future, 3) for _ in range(3)] == [3, 2, 0]
        assert publish(database, BACKFILL) == [-50]
        with transaction(database) as tx:
            assert tx.log.head("customer-1") == 5
