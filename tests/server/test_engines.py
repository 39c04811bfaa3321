"""Whole engines on real servers: what is committed is applied, in order, once, on whichever lane it came."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.server.conftest import Cluster, wait_for
from tests.support.bank import Bank

from protean.ports.progress import FailureFilter, FailureState
from protean.priority import Priority, processing_priority


def migrate(bank: Bank, accounts: list[str], events: int) -> None:
    """What a migration does: `events` low-priority changes of each account, partial ones and ignored ones too."""
    with processing_priority(Priority.LOW):
        for account in accounts:
            for number in range(events):
                change = (bank.deposit, bank.audit, lambda name: bank.rename(name, "migrated"))[number % 3]
                change(account)


def assert_exact(cluster: Cluster, accounts: list[str]) -> None:
    """The projections say what the aggregates say, and every event's effect is there once and in order."""
    bank = cluster.bank
    for name in accounts:
        account = bank.domain.repository_for(bank.account).get(name)
        row = bank.domain.repository_for(bank.ledger).get(name)
        assert row.applied == list(range(account.number + 1)), name
        assert (row.balance, row.owner) == (account.balance, account.owner), name
        renames = sum(message.type == "Renamed" for message in bank.log(name))
        owner = bank.domain.repository_for(bank.owners).get_or_none(name)
        assert (owner.owner, owner.renames) if owner else (account.owner, renames) == (None, 0), name


@pytest.mark.parametrize(("accounts", "events"), [(60, 1), (40, 3), (6, 50)])
def test_production_events_that_overtake_a_migration_of_the_same_accounts_leave_nothing_stale(
    cluster: Cluster, accounts: int, events: int
) -> None:
    bank = cluster.bank
    names = [f"acc-{number}" for number in range(accounts)]
    for name in names:
        bank.open(name)
    migrate(bank, names, events)
    cluster.start(3)

    def production() -> None:
        for _ in range(2):
            for name in names:
                bank.deposit(name, 10)
                bank.rename(name, f"owner of {name}")

    threads = [threading.Thread(target=production), threading.Thread(target=migrate, args=(bank, names, events))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cluster.settle()
    assert_exact(cluster, names)


def test_everything_handled_leaves_both_lanes_empty_and_exact_numbers(cluster: Cluster) -> None:
    names = [f"acc-{number}" for number in range(20)]
    for name in names:
        cluster.bank.open(name)
    migrate(cluster.bank, names, 2)
    cluster.start()
    cluster.settle()
    broker = cluster.bank.domain.broker()
    assert [broker.stream(stream).length for stream in cluster.streams] == [0, 0]
    counts = {(count.priority, count.status): count.rows for count in cluster.bank.domain.database().outbox.count()}
    assert counts == {(0, "published"): 20, (-50, "published"): 40}


@pytest.mark.proves("stream `customer:dlq`", "entry `data`, and on dead letters why and whose it is")
def test_a_poisoned_aggregate_delays_nobody_else_and_ends_in_the_dead_letters(cluster: Cluster) -> None:
    names = [f"acc-{number}" for number in range(30)]
    for name in names:
        cluster.bank.open(name)
    migrate(cluster.bank, names, 2)
    cluster.start(2, fails={"acc-3:1"})
    cluster.settle()
    wait_for(lambda: len(cluster.bank.domain.broker().entries("account:backfill:dlq", "-", 10)) == 1)
    assert_exact(cluster, [name for name in names if name != "acc-3"])
    ((_, letter),) = cluster.bank.domain.broker().entries("account:backfill:dlq", "-", 10)
    assert letter["error"] == b"cannot book 1"
    assert letter["error_type"] == b"ValueError"
    assert letter["handler"] == b"LedgerProjector"
    assert letter["attempts"] == b"4"
    assert b"raise ValueError" in letter["traceback"]
    assert letter["original_id"]


def test_a_dead_letter_that_is_released_is_handled_and_so_is_what_waited_behind_it(cluster: Cluster) -> None:
    cluster.bank.open("a")
    cluster.bank.deposit("a")
    cluster.bank.deposit("a")
    cluster.start(fails={"a:1"})
    database = cluster.bank.domain.database()

    def dead() -> int:
        transaction = database.transaction()
        try:
            return transaction.failures.count(FailureFilter(state=FailureState.DEAD))
        finally:
            transaction.rollback()

    wait_for(lambda: dead() == 1)
    cluster.banks[0].fails = set()
    transaction = database.transaction()
    assert transaction.failures.release(FailureFilter(handlers=("LedgerProjector",))) == 1
    transaction.commit()
    wait_for(lambda: cluster.bank.applied("a") == [0, 1, 2])
    assert dead() == 0


def test_production_is_handled_while_backfill_handlers_are_slow(cluster: Cluster) -> None:
    names = [f"acc-{number}" for number in range(40)]
    for name in names:
        cluster.bank.open(name)
    migrate(cluster.bank, names, 1)

    def slow(event: Any) -> None:
        if event.number:
            threading.Event().wait(0.1)

    backfill = cluster.bank.domain.broker()
    cluster.start(between=lambda event: slow(event) if hasattr(event, "number") else None)
    wait_for(lambda: backfill.stream("account:backfill").length > 30)  # published, and under way
    cluster.bank.open("urgent")
    wait_for(lambda: cluster.bank.applied("urgent") == [0])
    assert backfill.stream("account:backfill").length > 20
    cluster.settle()


def test_an_engine_that_is_told_to_stop_leaves_its_messages_to_the_next(cluster: Cluster) -> None:
    names = [f"acc-{number}" for number in range(50)]
    for name in names:
        cluster.bank.open(name)
    migrate(cluster.bank, names, 3)
    cluster.start(between=lambda event: threading.Event().wait(0.005))
    wait_for(lambda: bool(cluster.bank.applied("acc-0")))
    cluster.stop()
    assert cluster.bank.domain.broker().living() == []
    cluster.start()
    cluster.settle()
    assert_exact(cluster, names)
