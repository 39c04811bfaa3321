"""`Timeouts`: each is told of once, and what is cancelled or set anew meanwhile is not."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from protean.ports.database import Database
from protean.ports.timeouts import Timeout
from protean.testing.contracts.database_steps import NOON, transaction

P = "Fulfillment"
LATER = NOON + timedelta(microseconds=1)


def timeout(key: str = "1", name: str = "unpaid", due_at: datetime = NOON, **values: Any) -> Timeout:
    given = {"process": P, "priority": -50, "correlation_id": "c-1", "causation_id": "m-1", **values}
    return Timeout(key=key, name=name, due_at=due_at, **given)


def put(database: Database, *timeouts: Timeout) -> None:
    with transaction(database) as tx:
        tx.timeouts.put(timeouts)


def due(database: Database, until: datetime = LATER, limit: int = 100, *processes: str) -> list[Timeout]:
    with transaction(database) as tx:
        return tx.timeouts.due(processes or (P,), until, limit)


def told(database: Database, each: Timeout) -> str:
    """The id of a message that tells of it."""
    message_id = str(uuid4())
    with transaction(database) as tx:
        assert tx.timeouts.fire(each, message_id)
    return message_id


class TimeoutsContract:
    def test_a_timeout_comes_back_as_it_was_set_when_it_is_due_and_not_before(self, database: Database) -> None:
        exact = timeout(due_at=LATER, headers={"tenant": "Zoë", "deep": {"a": [1, None]}})
        put(database, exact)
        assert due(database, NOON) == []
        assert due(database, LATER) == [exact]

    def test_the_oldest_come_first_of_these_processes_and_so_many_at_most(self, database: Database) -> None:
        put(
            database,
            timeout("b", due_at=NOON),
            timeout("a", "x", NOON),
            timeout("a", "b", NOON),
            timeout("c", due_at=NOON - timedelta(days=1)),
            timeout("d", process="Refund"),
        )
        assert [each.key + each.name[0] for each in due(database)] == ["cu", "ab", "ax", "bu"]
        assert [each.key for each in due(database, LATER, 2)] == ["c", "a"]
        assert [each.key for each in due(database, LATER, 9, "Refund", "Nobody")] == ["d"]
        put(database)
        assert len(due(database, LATER, 100, P, "Refund")) == 5

    def test_setting_it_again_replaces_it(self, database: Database) -> None:
        put(database, timeout(), timeout("2"))
        put(database, timeout(due_at=LATER, priority=50))
        assert due(database, NOON) == [timeout("2")]
        assert due(database, LATER) == [timeout("2"), timeout(due_at=LATER, priority=50)]

    def test_cancelling_is_by_instance_and_by_name(self, database: Database) -> None:
        def left() -> list[tuple[str, str]]:
            return [(each.key, each.name) for each in due(database)]

        put(database, *(timeout(key, name) for key in "12" for name in ("a", "b", "c")))
        put(database, timeout("1", "a", process="Refund"))
        with transaction(database) as tx:
            tx.timeouts.cancel(P, "1", ["a", "c", "unknown"])
            tx.timeouts.cancel(P, "2", [])
        assert left() == [("1", "b"), ("2", "a"), ("2", "b"), ("2", "c")]
        with transaction(database) as tx:
            tx.timeouts.cancel(P, "2")
            tx.timeouts.cancel(P, "nobody")
        assert left() == [("1", "b")]
        assert len(due(database, LATER, 9, "Refund")) == 1

    def test_it_is_told_of_once_and_taken_by_the_message_that_tells(self, database: Database) -> None:
        put(database, timeout())
        (found,) = due(database)
        message_id = told(database, found)
        assert due(database) == []
        with transaction(database) as tx:
            assert not tx.timeouts.fire(found, str(uuid4()))
            assert not tx.timeouts.take(P, "1", "unpaid", str(uuid4()))
            assert tx.timeouts.take(P, "1", "unpaid", message_id)
            assert not tx.timeouts.take(P, "1", "unpaid", message_id)

    def test_what_is_cancelled_or_moved_meanwhile_is_not_told_of(self, database: Database) -> None:
        put(database, timeout(), timeout("2"))
        first, second = due(database)
        with transaction(database) as tx:
            tx.timeouts.cancel(P, "1")
        put(database, timeout("2", due_at=LATER))
        with transaction(database) as tx:
            assert not tx.timeouts.fire(first, str(uuid4()))
            assert not tx.timeouts.fire(second, str(uuid4()))
        assert due(database) == [timeout("2", due_at=LATER)]

    def test_what_is_set_anew_after_it_was_told_of_is_due_again_and_the_old_message_takes_nothing(
        self, database: Database
    ) -> None:
        put(database, timeout())
        old = told(database, timeout())
        put(database, replace(timeout(), message_id=old))
        with transaction(database) as tx:
            assert not tx.timeouts.take(P, "1", "unpaid", old)
        assert due(database) == [timeout()]
        cancelled = told(database, timeout())
        with transaction(database) as tx:
            tx.timeouts.cancel(P, "1", ["unpaid"])
            assert not tx.timeouts.take(P, "1", "unpaid", cancelled)

    def test_a_rollback_undoes_all_of_it(self, database: Database) -> None:
        put(database, timeout(), timeout("2"))
        given_up = database.transaction()
        given_up.timeouts.put([replace(timeout(), due_at=LATER), timeout("3")])
        given_up.timeouts.cancel(P, "2")
        assert given_up.timeouts.fire(timeout("3"), str(uuid4()))
        given_up.rollback()
        assert due(database) == [timeout(), timeout("2")]
