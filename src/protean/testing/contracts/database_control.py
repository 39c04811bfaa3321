"""Pauses and operations: what people decided, and what was done by whom."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from protean.ports.control import Operation, OperationState, Pause
from protean.ports.database import Database

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)

PAUSE = Pause(
    handler="Projector",
    lane="backfill",
    reason="the disk is full: 'quoted', ü",
    actor="local",
    paused_at=NOON,
    expires_at=NOON + timedelta(hours=1),
)
OPERATION = Operation(
    id="op-1",
    kind="replay",
    actor="browser from 10.0.0.7",
    target="2 dead letters of Projector",
    reason="",
    state=OperationState.RUNNING,
    done=0,
    total=2,
    result="",
    error="",
    started_at=NOON,
    told_at=NOON,
)


class ControlContract:
    def test_a_pause_is_read_back_by_everybody_once_it_is_committed(self, database: Database) -> None:
        with_it, other = database.transaction(), database.transaction()
        with_it.control.pause(PAUSE)
        with_it.commit()

        assert other.control.pauses() == [PAUSE]
        other.rollback()

    def test_a_second_pause_takes_the_place_of_the_first(self, database: Database) -> None:
        transaction = database.transaction()
        longer = replace(PAUSE, reason="still", expires_at=NOON + timedelta(hours=2))
        transaction.control.pause(PAUSE)
        transaction.control.pause(replace(PAUSE, lane="primary"))
        transaction.control.pause(longer)

        assert transaction.control.pauses() == [longer, replace(PAUSE, lane="primary")]
        transaction.rollback()

    def test_resuming_says_whether_there_was_a_pause(self, database: Database) -> None:
        transaction = database.transaction()
        transaction.control.pause(PAUSE)

        assert not transaction.control.resume("Projector", "primary")
        assert transaction.control.resume("Projector", "backfill")
        assert not transaction.control.resume("Projector", "backfill")
        assert transaction.control.pauses() == []
        transaction.rollback()

    def test_an_operation_is_known_as_it_was_told_last(self, database: Database) -> None:
        transaction = database.transaction()
        transaction.control.record(OPERATION)
        done = replace(
            OPERATION, state=OperationState.DONE, done=2, result="2 succeeded", told_at=NOON + timedelta(seconds=3)
        )
        transaction.control.record(done)
        transaction.commit()

        later = database.transaction()
        assert later.control.operation("op-1") == done
        assert later.control.operation("op-2") is None
        later.rollback()

    def test_the_newest_operations_come_first_and_in_pages(self, database: Database) -> None:
        transaction = database.transaction()
        for number in range(5):
            transaction.control.record(
                replace(OPERATION, id=f"op-{number}", started_at=NOON + timedelta(seconds=number))
            )

        first = transaction.control.operations(2)
        assert [each.id for each in first] == ["op-4", "op-3"]
        assert [each.id for each in transaction.control.operations(9, first[-1].started_at)] == ["op-2", "op-1", "op-0"]
        transaction.rollback()

    def test_old_operations_and_pauses_are_pruned_a_bounded_number_at_a_time(self, database: Database) -> None:
        transaction = database.transaction()
        for number in range(5):
            transaction.control.record(replace(OPERATION, id=f"op-{number}", started_at=NOON + timedelta(days=number)))
        transaction.control.pause(PAUSE)
        transaction.control.pause(replace(PAUSE, handler="Later", expires_at=NOON + timedelta(days=9)))
        until = NOON + timedelta(days=3)

        assert transaction.control.prune(until, 2) == 2
        assert transaction.control.prune(until, 2) == 1
        assert [each.id for each in transaction.control.operations(9)] == ["op-4", "op-3"]
        assert [each.handler for each in transaction.control.pauses()] == ["Later"]
        transaction.rollback()
