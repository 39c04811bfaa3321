"""`Rows.lock`: what a transaction has locked is as it was read until it ends."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator

import pytest

from protean.exceptions import TransientDatabaseError
from protean.ports.database import Database
from protean.ports.rows import Delete, Insert, Update
from protean.testing.contracts.database_steps import CUSTOMER, ODD, Elsewhere, customer, outcomes, transaction, write


class LocksContract:
    @pytest.fixture
    def elsewhere(self) -> Iterator[Elsewhere]:
        thread = Elsewhere()
        yield thread
        thread.close()

    def test_a_lock_reads_the_rows_that_exist_each_once(self, database: Database) -> None:
        write(database, customer("1", tags=["ä", 1]), customer("2"), Insert(ODD, {"select": 7, '100% "x"': "it's"}))
        with transaction(database) as tx:
            assert tx.rows.lock(CUSTOMER, []) == []
            assert tx.rows.lock(CUSTOMER, ["0"]) == []
            assert tx.rows.lock(CUSTOMER, ["1"]) == tx.rows.get_many(CUSTOMER, ["1"])
            found = tx.rows.lock(CUSTOMER, ["2", "0", "1", "2"])
            assert sorted(found, key=lambda row: str(row["id"])) == tx.rows.get_many(CUSTOMER, ["1", "2"])
            assert tx.rows.lock(ODD, [7, 8], wait=False) == [{"select": 7, '100% "x"': "it's"}]

    @pytest.mark.parametrize("keys", [["1"], ["1", "2"]])
    def test_who_locks_a_row_waits_and_reads_what_the_other_left(
        self, database: Database, elsewhere: Elsewhere, keys: list[str]
    ) -> None:
        write(database, customer("1", age=0), customer("2", age=0))

        def add_one() -> None:
            with transaction(database) as tx:
                for row in tx.rows.lock(CUSTOMER, keys):
                    tx.rows.write([Update(CUSTOMER, row["id"], {"age": row["age"] + 1})])

        first = database.transaction()
        ages = {row["id"]: row["age"] for row in first.rows.lock(CUSTOMER, keys)}
        others = [elsewhere.start(add_one) for _ in range(3)]
        assert all(elsewhere.waits(other) for other in others)
        first.rows.write([Update(CUSTOMER, key, {"age": age + 10}) for key, age in ages.items()])
        first.commit()
        outcomes(others)
        with transaction(database) as tx:
            assert [row["age"] for row in tx.rows.lock(CUSTOMER, keys)] == [13] * len(keys)

    def test_who_waits_for_a_row_that_is_deleted_finds_none(self, database: Database, elsewhere: Elsewhere) -> None:
        def lock() -> list[str]:
            with transaction(database) as tx:
                return [row["id"] for row in tx.rows.lock(CUSTOMER, ["1", "2"])]

        write(database, customer("1"), customer("2"))
        first = database.transaction()
        first.rows.lock(CUSTOMER, ["1"])
        first.rows.write([Delete(CUSTOMER, "1")])
        other = elsewhere.start(lock)
        assert elsewhere.waits(other)
        first.commit()
        assert other.result(timeout=20) == ["2"]

    def test_who_writes_to_a_locked_row_waits_for_the_end_of_that_transaction(
        self, database: Database, elsewhere: Elsewhere
    ) -> None:
        write(database, customer("1"))
        first = database.transaction()
        first.rows.lock(CUSTOMER, ["1"])
        other = elsewhere.start(write, database, Update(CUSTOMER, "1", {"name": "Ada"}))
        assert elsewhere.waits(other)
        first.rollback()
        other.result(timeout=20)

    def test_without_waiting_a_row_that_another_has_is_refused_and_nothing_is_changed(
        self, database: Database, elsewhere: Elsewhere
    ) -> None:
        """Where one transaction writes at a time, waiting came before the question."""
        write(database, customer("1"), customer("2"))

        def lock_both() -> bool:
            try:
                with transaction(database) as tx:
                    return len(tx.rows.lock(CUSTOMER, ["1", "2"], wait=False)) == 2
            except TransientDatabaseError:
                return False

        first = database.transaction()
        first.rows.lock(CUSTOMER, ["2"])
        other = elsewhere.start(lock_both)
        waited = elsewhere.waits(other)
        first.rollback()
        assert other.result(timeout=20) is waited
        assert elsewhere.start(lock_both).result(timeout=20)
