"""The exchange of a rebuilt table on PostgreSQL: whom it waits for, whom it lets pass, and what it takes along."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from tests.handle.test_rebuilding import handle, rows, write
from tests.support.bank import Bank, always, build_bank

from protean.exceptions import InvalidOperationError, RebuildError
from protean.handle import rebuilding
from protean.handle.replaying import Replaying


@pytest.fixture
def bank(database_url: str) -> Iterator[Bank]:
    bank = build_bank(
        {
            "databases": {"default": {"provider": "postgresql", "database_uri": database_url, "statement_timeout": 5}},
            "brokers": {"default": {"provider": "memory"}},
            "event_processing": "async",
        }
    )
    with bank.domain.domain_context():
        write(bank, "a", "b")
        for account in "ab":
            handle(bank, account)
        yield bank
    bank.domain.close()


@pytest.fixture
def server(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as server:
        yield server


def test_the_exchange_waits_for_a_projector_that_is_between_reading_and_writing(bank: Bank) -> None:
    """It has read the old row, and would write what follows from it into the new table."""
    ledgers = bank.domain.repository_for(bank.ledger)
    ledgers.query.update(balance=1_000_000)
    bank.deposit("a", 7)
    inside, rebuilt = threading.Event(), threading.Event()

    def linger(event: Any) -> None:
        if threading.current_thread() is projector:
            inside.set()
            rebuilt.wait(1.0)  # it must not come to that before this transaction has ended

    def project() -> None:
        with bank.domain.domain_context():
            bank.executor().execute(bank.deliveries("a")[-1:], grouped=False, go_on=always)

    projector = threading.Thread(target=project)
    bank.between = linger
    projector.start()
    assert inside.wait(10)
    bank.domain.rebuild(bank.ledger)
    rebuilt.set()
    projector.join(20)

    assert rows(bank)["a"] == (22, "owner of a", [0, 1, 2, 3, 4, 5])
    assert bank.position("a") == (5, False)


def test_a_projector_that_comes_during_the_exchange_waits_and_works_on_the_new_table(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank.domain.repository_for(bank.ledger).query.update(balance=1_000_000)
    bank.deposit("a", 7)
    outcomes: list[Any] = []
    projectors: list[threading.Thread] = []
    take_over = Replaying.take_over

    def project() -> None:
        with bank.domain.domain_context():
            outcomes.extend(bank.executor().execute(bank.deliveries("a")[-1:], grouped=False, go_on=always))

    def slowly(self: Replaying, transaction: Any) -> None:
        projectors.append(threading.Thread(target=project))
        projectors[0].start()
        time.sleep(0.3)
        assert outcomes == []
        take_over(self, transaction)

    monkeypatch.setattr(Replaying, "take_over", slowly)
    bank.domain.rebuild(bank.ledger)
    projectors[0].join(20)

    assert [outcome.applied for outcome in outcomes] == [0]
    assert rows(bank)["a"] == (22, "owner of a", [0, 1, 2, 3, 4, 5])


def test_other_projectors_do_not_wait_for_the_exchange(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    bank.rename("a", "somebody else")
    take_over, done = Replaying.take_over, threading.Event()

    def meanwhile(self: Replaying, transaction: Any) -> None:
        def project() -> None:
            with bank.domain.domain_context():
                handle(bank, "a", "OwnerProjector")
                done.set()

        threading.Thread(target=project).start()
        assert done.wait(10)
        take_over(self, transaction)

    monkeypatch.setattr(Replaying, "take_over", meanwhile)
    bank.domain.rebuild(bank.ledger)

    assert bank.domain.repository_for(bank.owners).get("a").owner == "somebody else"


def test_behind_a_long_reader_the_exchange_gives_way_to_others_until_that_one_is_gone(
    bank: Bank, database_url: str
) -> None:
    before, waits = rows(bank), []
    told = threading.Event()
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT * FROM ledger").fetchall()  # its transaction stays open, and with it the table's lock

        def rebuild() -> None:
            with bank.domain.domain_context():
                bank.domain.rebuild(bank.ledger, progress=lambda progress: told.set() if progress.exchanging else None)

        rebuilder = threading.Thread(target=rebuild)
        rebuilder.start()
        assert told.wait(20)
        for _ in range(15):
            began = time.monotonic()
            assert rows(bank) == before
            waits.append(time.monotonic() - began)
            time.sleep(0.05)
        bank.deposit("a")
        handle(bank, "a")
        assert rebuilder.is_alive()
    rebuilder.join(20)

    assert not rebuilder.is_alive()
    assert max(waits) < 1.0
    assert rows(bank)["a"] == (16, "owner of a", [0, 1, 2, 3, 4, 5])


def test_a_reader_who_never_ends_is_named_as_the_reason(
    bank: Bank, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "TRIES", 2)
    before = rows(bank)
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT * FROM ledger").fetchall()
        with pytest.raises(RebuildError, match="somebody used the one in place all the time"):
            bank.domain.rebuild(bank.ledger)
    assert rows(bank) == before


def test_many_readers_never_see_an_empty_or_partial_table(bank: Bank, database_url: str) -> None:
    write(bank, *(f"more-{number}" for number in range(40)))
    for number in range(40):
        handle(bank, f"more-{number}")
    over, counts = threading.Event(), set[tuple[int, int]]()

    def read() -> None:
        with psycopg.connect(database_url, autocommit=True) as reader:
            while not over.is_set():
                row = reader.execute("SELECT count(*), sum(balance) FROM ledger").fetchone()
                assert row is not None
                counts.add((row[0], int(row[1])))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(3):
        bank.domain.rebuild(bank.ledger, batch=20)
    over.set()
    for reader in readers:
        reader.join(20)

    assert counts == {(42, 42 * 15)}


def test_a_transaction_that_writes_to_the_log_for_long_is_not_passed_over(bank: Bank, database_url: str) -> None:
    """Its message has a lower global position than others that are visible, and appears after the first round."""
    told: list[int] = []
    with psycopg.connect(database_url) as writer:
        writer.execute("LOCK TABLE messages IN ROW EXCLUSIVE MODE")
        writer.execute("SELECT nextval(pg_get_serial_sequence('messages', 'global_position'))")
        bank.deposit("b", 1)
        (late,) = writer.execute("SELECT max(global_position) - 1 FROM messages").fetchone() or (0,)

        def appear(progress: rebuilding.RebuildProgress) -> None:
            if progress.exchanging and not told:
                told.append(late)
                writer.execute(
                    "INSERT INTO messages (global_position, message_id, stream_name, position, stream_category, type,"
                    " kind, data, metadata, time) OVERRIDING SYSTEM VALUE SELECT %s, gen_random_uuid(), stream_name,"
                    " position + 1, stream_category, 'Deposited', kind,"
                    ' \'{"account_id": "a", "amount": 100, "number": 5}\','
                    " jsonb_set(metadata, '{type}', '\"Deposited\"'), time FROM messages"
                    " WHERE stream_name = 'account-a' AND position = 4",
                    (late,),
                )
                writer.commit()

        bank.domain.rebuild(bank.ledger, progress=appear)

    assert told == [late]
    assert rows(bank)["a"] == (115, "owner of a", [0, 1, 2, 3, 4, 5])
    assert rows(bank)["b"] == (16, "owner of b", [0, 1, 2, 3, 4, 5])


def test_indexes_privileges_and_settings_that_people_have_added_are_there_afterwards(
    bank: Bank, server: psycopg.Connection[Any]
) -> None:
    server.execute("CREATE INDEX ledger_by_owner ON ledger (owner) WHERE balance > 0")
    server.execute("CREATE UNIQUE INDEX ledger_once ON ledger (account_id, balance DESC)")
    server.execute("ALTER TABLE ledger SET (fillfactor = 60)")
    server.execute("GRANT SELECT ON ledger TO PUBLIC")
    asked = (
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'ledger' ORDER BY 1",
        "SELECT relacl::text, reloptions::text FROM pg_class WHERE oid = 'ledger'::regclass",
    )
    before = [server.execute(sql).fetchall() for sql in asked]

    for _ in range(2):
        bank.domain.rebuild(bank.ledger)

    assert [server.execute(sql).fetchall() for sql in asked] == before
    assert len(before[0]) == 3


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("CREATE VIEW rich AS SELECT * FROM ledger WHERE balance > 10", "view rich"),
        ("CREATE MATERIALIZED VIEW sums AS SELECT sum(balance) FROM ledger", "materialized view sums"),
        ("CREATE TRIGGER t BEFORE INSERT ON ledger EXECUTE FUNCTION suppress_redundant_updates_trigger()", "trigger t"),
        ("ALTER TABLE ledger ADD CONSTRAINT positive CHECK (balance > -1)", "constraint positive"),
        ("CREATE TABLE notes (of text REFERENCES ledger)", "constraint notes_of_fkey"),
        ("ALTER TABLE ledger ADD COLUMN words tsvector", "column words"),
    ],
)
def test_what_the_new_table_would_not_have_is_named_before_anything_is_done(
    bank: Bank, server: psycopg.Connection[Any], made: str, named: str
) -> None:
    server.execute(made.encode())
    before = rows(bank)

    with pytest.raises(InvalidOperationError, match=f"ledger has what a rebuilt one would not: {named}; drop it"):
        bank.domain.rebuild(bank.ledger)

    assert rows(bank) == before
    assert server.execute("SELECT * FROM rebuilds").fetchall() == []


def test_a_table_that_lacks_a_column_is_made_as_it_is_declared(bank: Bank, server: psycopg.Connection[Any]) -> None:
    server.execute("ALTER TABLE ledger DROP COLUMN owner")

    bank.domain.rebuild(bank.ledger)

    assert rows(bank)["a"] == (15, "owner of a", [0, 1, 2, 3, 4])


def test_a_database_that_is_away_for_a_moment_delays_a_rebuild(bank: Bank, server: psycopg.Connection[Any]) -> None:
    cut: list[int] = []

    def cut_off(progress: rebuilding.RebuildProgress) -> None:
        if len(cut) < 3:
            cut.append(
                len(
                    server.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    ).fetchall()
                )
            )

    bank.domain.rebuild(bank.ledger, batch=3, progress=cut_off)

    assert sum(cut) >= 3
    assert rows(bank)["b"] == (15, "owner of b", [0, 1, 2, 3, 4])
