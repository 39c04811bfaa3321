"""`IdempotencyKeys`: a key belongs to the first command that commits under it, and everybody else learns its result."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from protean.ports.database import Database
from protean.ports.idempotency import Keyed
from protean.testing.contracts.database_steps import Elsewhere, outcomes, transaction

SHOP = "shop"


def take(database: Database, key: str = "k-1", type_: str = "Register", digest: str = "d", result: str = '"a"') -> str:
    """Process a command under the key; its result, or that of whoever was first."""
    with transaction(database) as tx:
        first = tx.idempotency_keys.take(SHOP, key, type_, digest)
        if first is None:
            tx.idempotency_keys.keep(SHOP, key, result)
            return result
        return str(first.result)


class IdempotencyContract:
    @pytest.fixture
    def elsewhere(self) -> Iterator[Elsewhere]:
        thread = Elsewhere()
        yield thread
        thread.close()

    def test_a_key_is_taken_once_and_tells_later_comers_what_it_belongs_to(self, database: Database) -> None:
        before = datetime.now(UTC)
        assert take(database, result='{"id": "\\u0000 \\ud800", "n": 1.10}') == '{"id": "\\u0000 \\ud800", "n": 1.10}'
        with transaction(database) as tx:
            first = tx.idempotency_keys.take(SHOP, "k-1", "Rename", "other")
        assert first is not None
        assert before <= first.first_at <= datetime.now(UTC)
        assert first == Keyed("Register", "d", first.first_at, '{"id": "\\u0000 \\ud800", "n": 1.10}')

    def test_keys_are_told_apart_by_every_letter_and_by_domain(self, database: Database) -> None:
        for number, key in enumerate(("k", "K", "k ", "%s", "'", "é", "\N{COMBINING ACUTE ACCENT}", "x" * 255)):
            assert take(database, key, result=str(number)) == str(number)
        with transaction(database) as tx:
            assert tx.idempotency_keys.take("other", "k", "Register", "d") is None

    def test_within_one_transaction_it_is_seen_that_the_key_is_in_use(self, database: Database) -> None:
        with transaction(database) as tx:
            assert tx.idempotency_keys.take(SHOP, "k-1", "Register", "d") is None
            again = tx.idempotency_keys.take(SHOP, "k-1", "Register", "d")
            assert again is not None
            assert again.result is None
            tx.idempotency_keys.keep(SHOP, "k-1", "7")
            again = tx.idempotency_keys.take(SHOP, "k-1", "Register", "d")
            assert again is not None
            assert again.result == "7"

    @pytest.mark.parametrize("commits", [True, False])
    def test_taking_a_key_that_is_in_use_waits_for_the_truth(
        self, database: Database, elsewhere: Elsewhere, commits: bool
    ) -> None:
        first = database.transaction()
        assert first.idempotency_keys.take(SHOP, "k-1", "Register", "d") is None
        first.idempotency_keys.keep(SHOP, "k-1", '"first"')
        others = [elsewhere.start(lambda: take(database, result='"second"')) for _ in range(2)]
        assert all(elsewhere.waits(other) for other in others)
        (first.commit if commits else first.rollback)()
        assert outcomes(others) == ['"first"' if commits else '"second"'] * 2

    def test_a_rollback_frees_the_key(self, database: Database) -> None:
        given_up = database.transaction()
        assert given_up.idempotency_keys.take(SHOP, "k-1", "Register", "d") is None
        given_up.rollback()
        assert take(database, result="2") == "2"

    def test_keys_are_pruned_a_few_at_a_time_the_oldest_first(self, database: Database) -> None:
        for number in range(5):
            take(database, f"k-{number}")
        now = datetime.now(UTC)
        with transaction(database) as tx:
            assert tx.idempotency_keys.prune(now - timedelta(hours=1), 10) == 0
            assert tx.idempotency_keys.prune(now + timedelta(hours=1), 3) == 3
        assert take(database, "k-4", result="again") == '"a"'
        assert take(database, "k-0", result="again") == "again"
        with transaction(database) as tx:
            assert tx.idempotency_keys.prune(now + timedelta(hours=1), 3) == 3
            assert tx.idempotency_keys.prune(now + timedelta(hours=1), 3) == 0
