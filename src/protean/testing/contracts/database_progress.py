"""`Positions`, `Inbox` and `Failures`: what makes an effect happen once, and in order."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from protean.ports.database import Database
from protean.ports.progress import FailureFilter, FailureState, Position
from protean.testing.contracts.database_steps import Elsewhere, failure, outcomes, transaction

H = "CustomerProjector"
ALL = FailureFilter()


class ProgressContract:
    @pytest.fixture
    def elsewhere(self) -> Iterator[Elsewhere]:
        thread = Elsewhere()
        yield thread
        thread.close()

    def test_positions_begin_at_minus_one_and_are_moved(self, database: Database) -> None:
        with transaction(database) as tx:
            assert tx.positions.lock(H, ["b", "a", "a"]) == {"a": Position(-1, False), "b": Position(-1, False)}
            tx.positions.move(H, {"a": 4})
            tx.positions.move(H, {"b": 2**40, "a": 5})
            tx.positions.block(H, "b", True)
        with transaction(database) as tx:
            assert tx.positions.lock(H, ["a", "b"]) == {"a": Position(5, False), "b": Position(2**40, True)}
            assert tx.positions.lock("other", ["a"]) == {"a": Position(-1, False)}
            tx.positions.block(H, "b", False)
            assert tx.positions.lock(H, ["b"])["b"] == Position(2**40, False)
            assert tx.positions.lock(H, []) == {}

    @pytest.mark.parametrize("present", [True, False])
    def test_a_lock_waits_and_reads_what_the_other_left(
        self, database: Database, elsewhere: Elsewhere, present: bool
    ) -> None:
        def advance() -> int:
            with transaction(database) as tx:
                held = tx.positions.lock(H, ["customer-1"])["customer-1"].position
                tx.positions.move(H, {"customer-1": held + 1})
                return held

        if present:
            assert advance() == -1
        first = database.transaction()
        held = first.positions.lock(H, ["customer-1"])["customer-1"].position
        others = [elsewhere.start(advance) for _ in range(2)]
        assert all(elsewhere.waits(other) for other in others)
        first.positions.move(H, {"customer-1": held + 1})
        first.commit()
        assert sorted(outcomes(others)) == [held + 1, held + 2]

    def test_after_a_rollback_the_row_is_as_it_was(self, database: Database, elsewhere: Elsewhere) -> None:
        def look() -> Position:
            with transaction(database) as tx:
                return tx.positions.lock(H, ["customer-1"])["customer-1"]

        first = database.transaction()
        first.positions.lock(H, ["customer-1"])
        first.positions.move(H, {"customer-1": 7})
        other = elsewhere.start(look)
        assert elsewhere.waits(other)
        first.rollback()
        assert other.result(timeout=20) == Position(-1, False)

    def test_opposite_orders_do_not_deadlock(self, database: Database, elsewhere: Elsewhere) -> None:
        names = [f"customer-{n}" for n in range(200)]

        def advance(ordered: list[str]) -> None:
            for _ in range(10):
                with transaction(database) as tx:
                    held = tx.positions.lock(H, ordered)
                    tx.positions.move(H, {name: held[name].position + 1 for name in ordered})

        outcomes([elsewhere.start(advance, ordered) for ordered in (names, names[::-1]) * 2])
        with transaction(database) as tx:
            assert {held.position for held in tx.positions.lock(H, names).values()} == {39}

    def test_a_message_is_new_to_each_handler_once(self, database: Database) -> None:
        ids = [str(uuid4()) for _ in range(3)]
        with transaction(database) as tx:
            assert tx.inbox.record("Mailer", ids[:2]) == set(ids[:2])
            assert tx.inbox.record("Mailer", ids) == {ids[2]}
            assert tx.inbox.record("Other", ids[:1]) == {ids[0]}
            assert tx.inbox.record("Other", []) == set()

    @pytest.mark.parametrize("commits", [True, False])
    def test_noting_the_same_message_waits_for_the_truth(
        self, database: Database, elsewhere: Elsewhere, commits: bool
    ) -> None:
        def note(id_: str) -> set[str]:
            with transaction(database) as tx:
                return tx.inbox.record("Mailer", [id_])

        id_ = str(uuid4())
        first = database.transaction()
        assert first.inbox.record("Mailer", [id_]) == {id_}
        other = elsewhere.start(note, id_)
        assert elsewhere.waits(other)
        (first.commit if commits else first.rollback)()
        assert other.result(timeout=20) == (set() if commits else {id_})

    def test_the_inbox_is_pruned_a_few_at_a_time(self, database: Database) -> None:
        with transaction(database) as tx:
            tx.inbox.record("Mailer", [str(uuid4()) for _ in range(5)])
            now = datetime.now(UTC)
            assert tx.inbox.prune(now - timedelta(hours=1), 10) == 0
            assert [tx.inbox.prune(now + timedelta(hours=1), 3) for _ in range(3)] == [3, 2, 0]

    def test_a_failure_comes_back_as_it_was_and_is_replaced(self, database: Database) -> None:
        kept = failure("m-1", raw=b"\xff\x00bytes", error="Zoë")
        with transaction(database) as tx:
            tx.failures.save(kept)
            assert tx.failures.find(ALL, 10) == [kept]
            again = replace(kept, attempts=2, state=FailureState.DEAD, raw=None)
            tx.failures.save(again)
            assert tx.failures.find(ALL, 10) == [again]
            assert tx.failures.remove(H, "m-1")
            assert not tx.failures.remove(H, "m-1")

    def test_what_an_error_says_cannot_keep_it_from_being_recorded(self, database: Database) -> None:
        with transaction(database) as tx:
            tx.failures.save(failure("m-1", error="a\0b\ud800", traceback="\0"))
            assert tx.failures.count(ALL) == 1

    def test_claiming_counts_the_attempt_and_leases_the_row(self, database: Database) -> None:
        with transaction(database) as tx:
            for id_, due in (("b", -1), ("a", -5), ("later", 60), ("c", -3)):
                tx.failures.save(failure(id_, due))
            tx.failures.save(failure("dead", -9, state=FailureState.DEAD))
        with transaction(database) as tx:
            claimed = tx.failures.claim(ALL, 2, lease_seconds=60)
            assert [(each.message_id, each.attempts) for each in claimed] == [("a", 2), ("c", 2)]
        with transaction(database) as tx:
            assert [each.message_id for each in tx.failures.claim(ALL, 9, 0.0)] == ["b"]
            assert {each.message_id: each.attempts for each in tx.failures.find(ALL, 9)} == {
                "a": 2, "b": 2, "c": 2, "dead": 1, "later": 1,
            }  # fmt: skip

    def test_two_claims_never_share_a_row(self, database: Database, elsewhere: Elsewhere) -> None:
        def claim() -> list[str]:
            with transaction(database) as tx:
                return [each.message_id for each in tx.failures.claim(ALL, 5, 60)]

        with transaction(database) as tx:
            for n in range(8):
                tx.failures.save(failure(f"m-{n}", n - 100))
        first = database.transaction()
        mine = [each.message_id for each in first.failures.claim(ALL, 5, 60)]
        other = elsewhere.start(claim)
        elsewhere.waits(other)  # skipping locked rows, or waiting for their lease: nothing is claimed twice
        first.commit()
        assert mine == [f"m-{n}" for n in range(5)]
        assert other.result(timeout=20) == ["m-5", "m-6", "m-7"]

    def test_filters_narrow_and_release_wakes_only_the_dead(self, database: Database) -> None:
        with transaction(database) as tx:
            tx.failures.save(failure("1", 60, state=FailureState.DEAD, lane="backfill", attempts=9))
            tx.failures.save(failure("2", 60, handler="Other", stream_name="customer-2"))
            tx.failures.save(failure("3", 60, state=FailureState.ARCHIVED, stream="order"))
            for which, found in (
                (FailureFilter(handlers=("Other",)), {"2"}),
                (FailureFilter(handlers=()), set()),
                (FailureFilter(lane="backfill"), {"1"}),
                (FailureFilter(state=FailureState.ARCHIVED), {"3"}),
                (FailureFilter(stream="order"), {"3"}),
                (FailureFilter(stream_name="customer-2"), {"2"}),
                (FailureFilter(message_id="1", lane="primary"), set()),
            ):
                assert {each.message_id for each in tx.failures.find(which, 10)} == found, which
                assert tx.failures.count(which) == len(found), which
            assert tx.failures.release(ALL) == 1
            (released,) = tx.failures.claim(ALL, 10, 60)
            assert (released.message_id, released.attempts) == ("1", 1)
            assert len(tx.failures.find(ALL, 2)) == 2
            assert len(tx.failures.find(ALL, 10, offset=2)) == 1
