"""What is over does not stay for ever; what is not, does."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.bank import Bank

from protean.clock import utc_now
from protean.deliver import housekeeping
from protean.deliver.floors import FloorKeeper
from protean.deliver.housekeeping import FAILURE_RETENTION, Housekeeping, Retention
from protean.deliver.lanes import Lane, Lanes
from protean.handle.retry import RetryPolicy
from protean.ports.outbox import Outbox
from protean.ports.progress import FailureFilter, FailureState
from protean.ports.recovery import Interest
from protean.server.recovering import interests_of
from protean.testing.contracts.database_control import OPERATION

NOW = timedelta(0)


def publish_all(outbox: Outbox) -> None:
    with outbox.claim(Lanes().claim("default", Lane.PRIMARY), 100) as batch:
        assert batch is not None
        batch.published([row.id for row in batch.rows])


def broom(bank: Bank, retention: Retention) -> Housekeeping:
    """Housekeeping whose floors rise, for handlers that have nothing unread."""
    database = bank.domain.database()
    interests = interests_of(bank.domain)["default"]
    keeper = FloorKeeper(
        database.recovery,
        "default",
        interests,
        backlog=lambda interest: 0,
        missing=lambda why: None,
        known_loss=lambda: False,
    )
    database.recovery.register("default", interests)
    return Housekeeping(database, retention, interests, keeper)


def sweep(bank: Bank, retention: Retention) -> housekeeping.Swept:
    return broom(bank, retention).sweep(threading.Event())


def handle_all(bank: Bank, *accounts: str) -> None:
    for handler in ("LedgerProjector", "OwnerProjector", "Postman"):
        for account in accounts:
            bank.executor(handler, RetryPolicy(max_retries=0)).execute(
                bank.deliveries(account), grouped=False, go_on=lambda: True
            )


def test_published_rows_are_pruned_in_batches_and_pending_ones_stay(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = bank.domain.database()
    for number in range(7):
        bank.open(f"old-{number}")
    publish_all(database.outbox)
    bank.open("new")
    monkeypatch.setattr(housekeeping, "BATCH", 3)
    assert Housekeeping(database, Retention(outbox=NOW)).sweep(threading.Event()).outbox == 7
    assert [(count.status, count.rows) for count in database.outbox.count()] == [("pending", 1)]


def test_rows_younger_than_the_retention_stay(bank: Bank) -> None:
    database = bank.domain.database()
    bank.open("a")
    publish_all(database.outbox)
    assert Housekeeping(database, Retention(outbox=timedelta(hours=1))).sweep(threading.Event()).outbox == 0


def test_notes_of_what_was_handled_go_one_sweep_after_the_floor_has_passed(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    sweep(bank, Retention())
    bank.open("a")
    for number in range(5):
        bank.rename("a", f"Ann {number}")
    publish_all(bank.domain.database().outbox)
    handle_all(bank, "a")
    first = sweep(bank, Retention(inbox=NOW))
    assert first.inbox == 0
    assert first.raised > 0
    assert sweep(bank, Retention(inbox=timedelta(hours=1))).inbox == 0
    assert sweep(bank, Retention(inbox=NOW)).inbox == 5
    bank.calls.clear()
    handle_all(bank, "a")  # delivered once more
    assert bank.calls == []


def test_notes_above_the_floor_stay_however_old(bank: Bank) -> None:
    sweep(bank, Retention())
    for name in ("a", "b"):
        bank.open(name)
        bank.rename(name, "Ann")
    publish_all(bank.domain.database().outbox)
    handle_all(bank, "b")
    for _ in range(3):
        assert sweep(bank, Retention(inbox=NOW)).inbox == 0
    handle_all(bank, "a")
    assert [sweep(bank, Retention(inbox=NOW)).inbox for _ in range(2)] == [0, 2]


def test_a_message_whose_note_is_gone_can_still_be_retried_when_it_had_failed(bank: Bank) -> None:
    sweep(bank, Retention())
    bank.open("a")
    bank.rename("a", "Ann")
    publish_all(bank.domain.database().outbox)
    bank.fails = {"post a"}
    handle_all(bank, "a")
    sweep(bank, Retention(inbox=NOW))
    bank.fails, bank.calls = set(), []
    transaction = bank.domain.database().transaction()
    (failure,) = transaction.failures.find(FailureFilter(handlers=("Postman",)), 10)
    transaction.rollback()
    postman = bank.executor("Postman")
    handle_all(bank, "a")
    assert bank.calls == []  # a copy does not run: the floor has passed it, its failure tells the rest
    assert postman.retry(failure) is None
    assert bank.calls == [("post a", 1)]


def test_discarded_failures_are_forgotten_after_a_month(bank: Bank) -> None:
    bank.open("a")
    bank.rename("a", "Ann")
    bank.fails = {"post a"}
    handle_all(bank, "a")
    transaction = bank.domain.database().transaction()
    (failure,) = transaction.failures.find(FailureFilter(), 10)
    old = utc_now() - FAILURE_RETENTION - timedelta(minutes=1)
    transaction.failures.save(replace(failure, state=FailureState.ARCHIVED, due_at=old))
    transaction.failures.save(replace(failure, message_id="new", state=FailureState.ARCHIVED, last_failed_at=old))
    transaction.failures.save(replace(failure, message_id="dead", due_at=old, last_failed_at=old))
    transaction.commit()
    assert sweep(bank, Retention()).failures == 1


def test_what_was_done_by_whom_is_forgotten_after_three_months(bank: Bank) -> None:
    transaction = bank.domain.database().transaction()
    for days in (1, 89, 91, 200):
        at = utc_now() - timedelta(days=days)
        transaction.control.record(replace(OPERATION, id=str(days), started_at=at, told_at=at))
    transaction.commit()

    assert sweep(bank, Retention()).operations == 2

    left = bank.domain.database().transaction()
    assert [each.id for each in left.control.operations(10)] == ["1", "89"]
    left.rollback()


def test_a_handler_that_the_code_no_longer_has_keeps_its_floor(bank: Bank) -> None:
    recovery = bank.domain.database().recovery
    recovery.register("default", [Interest("Removed", False, ("account",), ("Renamed",))])
    bank.open("a")
    bank.rename("a", "Ann")
    publish_all(bank.domain.database().outbox)
    handle_all(bank, "a")
    sweep(bank, Retention())
    floors = {standing.handler: standing.floor for standing in recovery.standings()}
    assert floors["Removed"] == 0 < floors["LedgerProjector"]
