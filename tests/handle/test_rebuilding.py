"""A projection made anew from the log says what it said, on every database, whatever production does meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from tests.support.bank import Bank, always, build_bank

from protean import UnitOfWork
from protean.clock import utc_now
from protean.exceptions import ConfigurationError, HistoryRemovedError, RebuildError
from protean.handle.rebuilding import Rebuilder, RebuildProgress, shadow_name
from protean.handle.retry import RetryPolicy
from protean.ports.handling import Verdict
from protean.ports.progress import Failure, FailureFilter, FailureState
from protean.write.tables import table_of

AT_ONCE = RetryPolicy(max_retries=0)


def write(bank: Bank, *accounts: str, deposits: int = 3) -> None:
    for account in accounts:
        bank.open(account)
        for _ in range(deposits):
            bank.deposit(account, 5)
        bank.rename(account, f"owner of {account}")


def handle(bank: Bank, account: str, handler: str = "LedgerProjector") -> list[Any]:
    return bank.executor(handler, AT_ONCE).execute(bank.deliveries(account), grouped=False, go_on=always)


def rows(bank: Bank) -> dict[str, Any]:
    return {
        row.account_id: (row.balance, row.owner, row.applied)
        for row in bank.domain.repository_for(bank.ledger).query.all()
    }


def in_one(bank: Bank, work: Callable[[Any], Any]) -> Any:
    transaction = bank.domain.database().transaction()
    try:
        result = work(transaction)
        transaction.commit()
        return result
    finally:
        transaction.rollback()


def failures(bank: Bank) -> list[Failure]:
    found: list[Failure] = in_one(bank, lambda transaction: transaction.failures.find(FailureFilter(), 100))
    return found


def positions(bank: Bank, *accounts: str, handler: str = "LedgerProjector") -> list[tuple[int, bool]]:
    return [bank.position(account, handler) for account in accounts]


def tables_of_the_database(bank: Bank) -> set[str]:
    config = bank.domain.config.databases["default"]
    if config.provider == "memory":
        committed = bank.domain.database()._store.committed  # type: ignore[attr-defined]  # memory's own
        return {name for name, held in committed.rows.items() if held}
    if config.provider == "sqlite":
        with sqlite3.connect(str(config.database_uri).removeprefix("sqlite:///")) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    with psycopg.connect(str(config.database_uri)) as server:
        return {name for (name,) in server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def assert_nothing_left(bank: Bank) -> None:
    assert in_one(bank, lambda transaction: transaction.rebuilding.under_way()) == []
    assert not {name for name in tables_of_the_database(bank) if "rebuild" in name} - {"rebuilds"}
    assert [bank.position(account, "LedgerProjector:rebuild") for account in "ab"] == [(-1, False)] * 2


def execute(bank: Bank, sql: str) -> None:
    config = bank.domain.config.databases["default"]
    if config.provider == "sqlite":
        with sqlite3.connect(str(config.database_uri).removeprefix("sqlite:///")) as connection:
            connection.execute(sql)
    else:
        with psycopg.connect(str(config.database_uri), autocommit=True) as server:
            server.execute(sql)


def test_a_rebuilt_projection_says_what_it_said(bank: Bank) -> None:
    write(bank, "a", "b", "c")
    for account in "abc":
        handle(bank, account)
    before = rows(bank)

    rebuilt = bank.domain.rebuild(bank.ledger, batch=2)

    assert rows(bank) == before
    assert before["b"] == (15, "owner of b", [0, 1, 2, 3, 4])
    assert positions(bank, "a", "b", "c") == [(4, False)] * 3
    assert (rebuilt.projection, rebuilt.messages, rebuilt.applied, rebuilt.rows) == ("Ledger", 15, 15, 3)
    assert (rebuilt.held, rebuilt.left_over) == (0, None)
    assert_nothing_left(bank)


def test_rows_that_were_spoiled_are_as_history_has_them_afterwards(bank: Bank) -> None:
    write(bank, "a", "b")
    for account in "ab":
        handle(bank, account)
    before = rows(bank)
    ledgers = bank.domain.repository_for(bank.ledger)
    ledgers.remove(ledgers.get("a"))
    ledgers.query.update(balance=-1)
    ledgers.add(bank.ledger(account_id="nobody's"))

    bank.domain.rebuild(bank.ledger)

    assert rows(bank) == before


def test_a_projection_that_has_seen_nothing_is_filled_and_its_projector_goes_on_behind_that(bank: Bank) -> None:
    write(bank, "a")

    bank.domain.rebuild(bank.ledger)

    assert bank.applied("a") == [0, 1, 2, 3, 4]
    assert [(outcome.verdict, outcome.applied) for outcome in handle(bank, "a")] == [(Verdict.HANDLED, 0)] * 5
    bank.deposit("a")
    handle(bank, "a")
    assert bank.applied("a") == [0, 1, 2, 3, 4, 5]
    assert bank.position("a") == (5, False)


def test_a_projector_that_knows_few_types_goes_on_behind_the_last_of_them(bank: Bank) -> None:
    write(bank, "a")
    bank.deposit("a")

    bank.domain.rebuild(bank.owners)
    bank.rename("a", "second")
    handle(bank, "a", "OwnerProjector")

    row = bank.domain.repository_for(bank.owners).get("a")
    assert (row.owner, row.renames) == ("second", 2)


def test_what_production_applies_meanwhile_is_in_the_new_table(bank: Bank) -> None:
    write(bank, "a", "b")
    handle(bank, "a")
    meanwhile: list[RebuildProgress] = []

    def production(progress: RebuildProgress) -> None:
        if not progress.exchanging and len(meanwhile) < 8:
            meanwhile.append(progress)
            for account in "ab":
                bank.deposit(account)
            handle(bank, "a")

    bank.domain.rebuild(bank.ledger, batch=3, progress=production)

    handle(bank, "a")
    handle(bank, "b")
    for account in "ab":
        number = bank.domain.repository_for(bank.account).get(account).number
        assert bank.applied(account) == list(range(number + 1))
        assert bank.position(account) == (number, False)
    assert len(meanwhile) > 3


def test_progress_is_told_with_its_rate_and_an_end_in_sight(bank: Bank) -> None:
    write(bank, "a", "b")
    told: list[RebuildProgress] = []

    bank.domain.rebuild(bank.ledger, batch=4, progress=told.append)

    assert [(progress.done, progress.total) for progress in told] == [(4, 10), (8, 10), (10, 10), (10, 10)]
    assert [progress.exchanging for progress in told] == [False, False, False, True]
    assert told[0].rate > 0
    assert told[0].remaining is not None
    assert told[-1].remaining == 0


def test_until_the_end_readers_see_the_rows_in_use(bank: Bank) -> None:
    write(bank, "a", "b", "c")
    for account in "abc":
        handle(bank, account)
    before, seen = rows(bank), []

    bank.domain.rebuild(bank.ledger, batch=2, progress=lambda _: seen.append(rows(bank)))

    assert len(seen) > 7
    assert all(each == before for each in seen)


def test_a_stream_that_is_blocked_and_still_fails_stays_blocked_and_the_others_are_rebuilt(bank: Bank) -> None:
    write(bank, "a", "b")
    bank.fails = {"a:2"}
    for account in "ab":
        handle(bank, account)
    before = rows(bank)
    assert bank.position("a") == (1, True)

    rebuilt = bank.domain.rebuild(bank.ledger, batch=4)

    assert rebuilt.held == 1
    assert rows(bank) == before
    assert positions(bank, "a", "b") == [(1, True), (4, False)]
    assert [failure.state for failure in failures(bank)] == [FailureState.DEAD]


def test_a_stream_that_stayed_blocked_goes_on_in_the_new_table(bank: Bank) -> None:
    write(bank, "a", "b")
    bank.fails = {"a:2"}
    handle(bank, "a")
    bank.domain.rebuild(bank.ledger)
    bank.fails = set()
    in_one(bank, lambda transaction: transaction.failures.release(FailureFilter()))
    (failure,) = in_one(bank, lambda transaction: transaction.failures.claim(FailureFilter(), 1, 30.0))

    assert bank.executor().retry(failure) is None

    assert bank.applied("a") == [0, 1, 2, 3, 4]
    assert failures(bank) == []


def test_a_stream_whose_failure_todays_code_does_not_have_is_unblocked(bank: Bank) -> None:
    write(bank, "a", "b")
    bank.fails = {"a:2"}
    for account in "ab":
        handle(bank, account)
    bank.fails = set()

    rebuilt = bank.domain.rebuild(bank.ledger)

    assert rebuilt.held == 0
    assert bank.applied("a") == [0, 1, 2, 3, 4]
    assert positions(bank, "a", "b") == [(4, False)] * 2
    assert failures(bank) == []


def test_a_stream_that_production_unblocks_meanwhile_is_complete(bank: Bank) -> None:
    write(bank, "a", "b")
    bank.fails = {"a:2"}
    handle(bank, "a")
    claimed: list[Failure] = []

    def unblock(progress: RebuildProgress) -> None:
        """The rebuild has held the stream; then somebody replays the dead letter."""
        if progress.exchanging and not claimed:
            bank.fails = set()
            in_one(bank, lambda transaction: transaction.failures.release(FailureFilter()))
            claimed.extend(in_one(bank, lambda transaction: transaction.failures.claim(FailureFilter(), 1, 30.0)))
            assert bank.executor().retry(claimed[0]) is None

    rebuilt = bank.domain.rebuild(bank.ledger, progress=unblock)

    assert len(claimed) == 1
    assert rebuilt.held == 0
    assert bank.applied("a") == [0, 1, 2, 3, 4]
    assert bank.position("a") == (4, False)


def test_what_a_person_has_discarded_is_left_out_again(bank: Bank) -> None:
    write(bank, "a")
    bank.fails = {"a:2"}
    handle(bank, "a")
    in_one(
        bank,
        lambda transaction: transaction.failures.discard(
            FailureFilter(), FailureState.WAITING, by="Ada", reason="a typo"
        ),
    )
    bank.fails = set()

    bank.domain.rebuild(bank.ledger)

    assert bank.applied("a") == [0, 1, 3, 4]
    assert bank.position("a") == (4, False)
    assert [(each.state, each.discarded_by) for each in failures(bank)] == [(FailureState.ARCHIVED, "Ada")]
    bank.domain.rebuild(bank.ledger)
    assert bank.applied("a") == [0, 1, 3, 4]


def test_a_projector_that_fails_with_what_it_once_applied_ends_the_rebuild_and_changes_nothing(bank: Bank) -> None:
    write(bank, "a", "b")
    for account in "ab":
        handle(bank, account)
    before = rows(bank)
    bank.fails = {"b:3"}

    with pytest.raises(RebuildError, match=r"LedgerProjector cannot apply Deposited .*position 3 of account-b.*book 3"):
        bank.domain.rebuild(bank.ledger, batch=3)

    assert rows(bank) == before
    assert positions(bank, "a", "b") == [(4, False)] * 2
    assert_nothing_left(bank)


@pytest.mark.parametrize(
    "effect",
    [
        lambda bank, event: bank.domain.process(bank.Deposit(account_id=event.account_id)),
        lambda bank, event: bank.domain.repository_for(bank.account).add(bank.account(id=str(uuid4()))),
        lambda bank, event: bank.domain.repository_for(bank.owners).add(bank.owners(account_id=str(uuid4()))),
        lambda bank, event: bank.domain.repository_for(bank.owners).query.delete(),
        lambda bank, event: setattr(bank.domain.repository_for(bank.account).get(event.account_id), "balance", 7),
    ],
    ids=["command", "aggregate", "other projection", "statement", "in passing"],
)
def test_a_projector_that_does_more_than_its_projection_is_refused(bank: Bank, effect: Callable[..., Any]) -> None:
    write(bank, "a")
    handle(bank, "a")
    before = rows(bank)
    bank.between = lambda event: effect(bank, event)

    with pytest.raises(RebuildError, match="Ledger is being rebuilt, which repeats history and changes nothing else"):
        bank.domain.rebuild(bank.ledger)

    bank.between = lambda event: None
    assert rows(bank) == before
    assert bank.domain.repository_for(bank.account).query.count() == 1
    assert len(bank.log("a")) == 5
    assert_nothing_left(bank)


def test_without_its_history_nothing_is_touched(bank: Bank) -> None:
    write(bank, "a", "b")
    for account in "ab":
        handle(bank, account)
    before = rows(bank)
    if bank.domain.config.databases["default"].provider == "memory":
        messages = bank.domain.database()._store.committed.messages  # type: ignore[attr-defined]  # memory's own
        del messages[bank.log("b")[1].id]
    else:
        execute(bank, "DELETE FROM messages WHERE stream_name = 'account-b' AND position = 1")

    told: list[RebuildProgress] = []
    with pytest.raises(HistoryRemovedError, match="cannot be rebuilt and is as it was: the log lacks messages of acc"):
        bank.domain.rebuild(bank.ledger, progress=told.append)

    assert (rows(bank), told) == (before, [])
    assert_nothing_left(bank)


def test_a_history_that_is_removed_while_it_is_replayed_ends_the_rebuild(bank: Bank) -> None:
    if bank.domain.config.databases["default"].provider == "memory":
        pytest.skip("its log cannot be cut behind its back")
    write(bank, "a", "b")
    for account in "ab":
        handle(bank, account)
    before = rows(bank)

    def remove(_progress: RebuildProgress) -> None:
        execute(bank, "DELETE FROM messages WHERE stream_name = 'account-b' AND position = 2")

    with pytest.raises(HistoryRemovedError, match="account-b"):
        bank.domain.rebuild(bank.ledger, batch=2, progress=remove)

    assert rows(bank) == before
    assert_nothing_left(bank)


def test_the_end_of_a_history_that_was_applied_and_removed_is_missed_too(bank: Bank) -> None:
    if bank.domain.config.databases["default"].provider == "memory":
        pytest.skip("its log cannot be cut behind its back")
    write(bank, "a")
    handle(bank, "a")
    execute(bank, "DELETE FROM messages WHERE stream_name = 'account-a'")

    with pytest.raises(HistoryRemovedError, match="account-a"):
        bank.domain.rebuild(bank.ledger)


def test_a_rebuild_that_died_is_found_and_what_it_left_goes(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    write(bank, "a", "b")
    handle(bank, "a")

    def die(progress: RebuildProgress) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Rebuilder, "_give_up", lambda self: None)
        with pytest.raises(KeyboardInterrupt):
            bank.domain.rebuild(bank.ledger, batch=4, progress=die)
    (left,) = in_one(bank, lambda transaction: transaction.rebuilding.under_way())
    assert (left.projection, left.done) == ("Ledger", 4)
    assert left.shadow in tables_of_the_database(bank)

    rebuilt = Rebuilder(bank.domain, bank.ledger, patience=0.2).run()

    assert rebuilt.left_over == left.shadow
    assert bank.applied("a") == bank.applied("b") == [0, 1, 2, 3, 4]
    assert_nothing_left(bank)


def test_beside_one_that_is_alive_another_is_refused(bank: Bank) -> None:
    write(bank, "a", "b")
    refused: list[str] = []

    def another(progress: RebuildProgress) -> None:
        if not refused:
            state = in_one(bank, lambda transaction: transaction.rebuilding.under_way())[0]
            steps = iter([state, replace(state, stepped_at=utc_now())])
            second = Rebuilder(bank.domain, bank.ledger, patience=30)
            second._record.known = lambda: next(steps)  # type: ignore[method-assign]  # as if the first one went on meanwhile
            with pytest.raises(RebuildError, match=r"is being rebuilt by another process.*4 of 10 messages"):
                second.run()
            refused.append("once")

    bank.domain.rebuild(bank.ledger, batch=4, progress=another)

    assert refused == ["once"]
    assert bank.applied("a") == [0, 1, 2, 3, 4]


def test_one_whose_place_another_has_taken_ends_and_leaves_the_other_alone(bank: Bank) -> None:
    write(bank, "a", "b")
    nested: list[int] = []

    def take_over(progress: RebuildProgress) -> None:
        if not nested:
            nested.append(0)
            nested[0] = Rebuilder(bank.domain, bank.ledger, patience=0.0).run().rows

    with pytest.raises(RebuildError, match="another process has begun to rebuild Ledger"):
        bank.domain.rebuild(bank.ledger, batch=4, progress=take_over)

    assert nested == [2]
    assert bank.applied("a") == bank.applied("b") == [0, 1, 2, 3, 4]
    assert_nothing_left(bank)


def test_what_cannot_be_rebuilt_is_refused(bank: Bank) -> None:
    with pytest.raises(ConfigurationError, match="takes a projection"):
        bank.domain.rebuild(bank.account)
    with pytest.raises(ConfigurationError, match="batch must be at least 1, not 0"):
        bank.domain.rebuild(bank.ledger, batch=0)
    with pytest.raises(RebuildError, match="outside a unit of work"), UnitOfWork():
        bank.domain.rebuild(bank.ledger)


def test_a_shadow_has_a_name_that_every_database_takes() -> None:
    assert shadow_name("ledger") == "ledger__rebuild"
    long = {shadow_name("ä" * 31), shadow_name("ä" * 30 + "b"), shadow_name("x" * 63)}
    assert len(long) == 3
    assert all(len(name.encode()) <= 63 for name in long)


def test_a_table_that_is_not_there_is_missed_before_anything_is_done(bank: Bank) -> None:
    table = table_of(bank.ledger)
    if bank.domain.config.databases["default"].provider == "memory":
        pytest.skip("its tables cannot be dropped one by one")
    bank.open("a")
    execute(bank, f"DROP TABLE {table.name}")

    with pytest.raises(Exception, match="no table ledger; `protean db setup` creates"):
        bank.domain.rebuild(bank.ledger)


def test_each_process_has_a_domain_of_its_own_and_sees_the_new_table(bank: Bank) -> None:
    if bank.domain.config.databases["default"].provider == "memory":
        pytest.skip("no other process sees its memory")
    write(bank, "a")
    other = build_bank(bank.domain.config.model_dump())
    with other.domain.domain_context():
        for _ in range(8):  # as often as it takes the driver to prepare its statements
            assert other.applied("a") == []
        bank.domain.rebuild(bank.ledger)
        assert other.applied("a") == [0, 1, 2, 3, 4]
        bank.deposit("a")
        handle(other, "a")
        assert other.applied("a") == [0, 1, 2, 3, 4, 5]
    other.domain.close()
