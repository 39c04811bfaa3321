"""`Positions`, `Inbox` and `Failures`: what makes an effect happen once, and in order."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from protean.message import Message
from protean.ports.database import Database
from protean.ports.progress import FailureFilter, FailureState, Position
from protean.testing.contracts.database_steps import Elsewhere, failure, outcomes, transaction, unlogged

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
        sent = [unlogged() for _ in range(3)]
        ids = [message.id for message in sent]
        with transaction(database) as tx:
            assert tx.inbox.record("Mailer", sent[:2]) == set(ids[:2])
            assert tx.inbox.record("Mailer", sent) == {ids[2]}
            assert tx.inbox.record("Other", sent[:1]) == {ids[0]}
            assert tx.inbox.record("Other", []) == set()

    def test_notes_of_places_below_are_forgotten_a_few_at_a_time(self, database: Database) -> None:
        messages = [unlogged(place) for place in (3, 1, 2, 2, 5)]
        with transaction(database) as tx:
            tx.inbox.record("Payments", messages)
            tx.inbox.record("Another", messages)
        with transaction(database) as tx:
            assert tx.inbox.forget("Nobody", 9, 9) == 0
            assert [tx.inbox.forget("Payments", 3, 2) for _ in range(3)] == [2, 1, 0]
            assert [tx.inbox.handled("Payments", each) for each in messages] == [True, False, False, False, True]
            assert all(tx.inbox.handled("Another", each) for each in messages)
        with transaction(database) as tx:
            assert tx.inbox.record("Payments", messages) == {each.id for each in messages[1:4]}

    @pytest.mark.parametrize("commits", [True, False])
    def test_noting_the_same_message_waits_for_the_truth(
        self, database: Database, elsewhere: Elsewhere, commits: bool
    ) -> None:
        def note(sent: Message) -> set[str]:
            with transaction(database) as tx:
                return tx.inbox.record("Mailer", [sent])

        sent = unlogged()
        first = database.transaction()
        assert first.inbox.record("Mailer", [sent]) == {sent.id}
        other = elsewhere.start(note, sent)
        assert elsewhere.waits(other)
        (first.commit if commits else first.rollback)()
        assert other.result(timeout=20) == (set() if commits else {sent.id})

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

    def test_what_is_released_is_due_in_the_order_in_which_it_came(self, database: Database) -> None:
        now = datetime.now(UTC)
        with transaction(database) as tx:
            for id_, age in (("a", 1), ("b", 3), ("c", 2), ("clock ahead", -60)):
                since = now - timedelta(minutes=age)
                tx.failures.save(failure(id_, 60, state=FailureState.DEAD, first_failed_at=since))
            assert tx.failures.release(FailureFilter(message_ids=("a", "b", "c", "clock ahead"))) == 4
        with transaction(database) as tx:
            assert [each.message_id for each in tx.failures.claim(ALL, 9, 60)] == ["b", "c", "a", "clock ahead"]

    def test_pages_follow_each_other_by_key_whatever_goes_meanwhile(self, database: Database) -> None:
        now = datetime.now(UTC)
        with transaction(database) as tx:
            for n in range(7):
                tx.failures.save(failure(f"m-{n}", last_failed_at=now - timedelta(seconds=n // 2), error=f"{n}"))
            seen, after = list[str](), None
            while page := tx.failures.find(ALL, 3, after):
                seen += [each.message_id for each in page]
                after = page[-1].key
                tx.failures.remove(H, page[0].message_id)
            assert sorted(seen) == [f"m-{n}" for n in range(7)]
            assert seen[0] == "m-1"  # of those that failed at one moment, the larger key first
            assert seen[-1] == "m-6"

    def test_narrower_filters(self, database: Database) -> None:
        now = datetime.now(UTC)
        with transaction(database) as tx:
            tx.failures.save(failure("ab-1", 60, last_failed_at=now - timedelta(hours=2)))
            tx.failures.save(failure("ab%2", -60, error_type="KeyError", attempts=0))
            for which, found in (
                (FailureFilter(message_ids=("ab-1", "nobody")), {"ab-1"}),
                (FailureFilter(message_ids=()), set()),
                (FailureFilter(message_prefix="ab"), {"ab-1", "ab%2"}),
                (FailureFilter(message_prefix="ab%"), {"ab%2"}),
                (FailureFilter(error_type="KeyError"), {"ab%2"}),
                (FailureFilter(attempts=0), {"ab%2"}),
                (FailureFilter(failed_before=now - timedelta(hours=1)), {"ab-1"}),
                (FailureFilter(due_before=now), {"ab%2"}),
            ):
                assert {each.message_id for each in tx.failures.find(which, 10)} == found, which
                assert tx.failures.count(which) == len(found), which

    def test_failures_are_counted_by_what_they_share(self, database: Database) -> None:
        now = datetime.now(UTC)
        with transaction(database) as tx:
            for n in range(3):
                moment = now - timedelta(minutes=n)
                tx.failures.save(failure(f"m-{n}", first_failed_at=moment, last_failed_at=moment))
            tx.failures.save(failure("other", error="yes"))
            most, least = tx.failures.tally(ALL)
        assert (most.handler, most.stream, most.error_type, most.error, most.count) == (
            *(H, "customer", "ValueError", "no"), 3,
        )  # fmt: skip
        assert (most.first_failed_at, most.last_failed_at) == (now - timedelta(minutes=2), now)
        assert (least.error, least.count, least.state) == ("yes", 1, FailureState.WAITING)

    def test_a_claim_is_given_back_unless_somebody_else_has_claimed_since(self, database: Database) -> None:
        now = datetime.now(UTC)
        with transaction(database) as tx:
            tx.failures.save(failure("m-1"))
            (claimed,) = tx.failures.claim(ALL, 1, 60)
            assert tx.failures.give_back(claimed, now)
            (given_back,) = tx.failures.find(ALL, 1)
            assert (given_back.attempts, given_back.due_at) == (1, now)
            (again,) = tx.failures.claim(ALL, 1, 0.0)
            (since,) = tx.failures.claim(ALL, 1, 60)
            assert not tx.failures.give_back(again, now)
            assert tx.failures.find(ALL, 1) == [since]

    def test_an_attempt_is_forgiven_where_one_was_counted(self, database: Database) -> None:
        with transaction(database) as tx:
            for id_, attempts, state in (
                ("twice", 2, FailureState.WAITING), ("never", 0, FailureState.WAITING), ("dead", 4, FailureState.DEAD),
            ):  # fmt: skip
                tx.failures.save(failure(id_, attempts=attempts, state=state))
            tx.failures.save(failure("twice", attempts=2, handler="Other"))
            assert tx.failures.forgive(H, ["twice", "never", "dead", "gone"]) == 1
            assert tx.failures.forgive(H, []) == 0
            left = {(each.handler, each.message_id): each.attempts for each in tx.failures.find(ALL, 9)}
        assert left == {(H, "twice"): 1, (H, "never"): 0, (H, "dead"): 4, ("Other", "twice"): 2}

    @pytest.mark.parametrize("state", [FailureState.ARCHIVED, FailureState.WAITING])
    def test_only_dead_ones_are_discarded_with_who_and_why(self, database: Database, state: FailureState) -> None:
        with transaction(database) as tx:
            tx.failures.save(failure("1", state=FailureState.DEAD))
            tx.failures.save(failure("2"))
            assert tx.failures.discard(ALL, state, by="Zoë", reason="merged\0by hand") == 1
            found = {each.message_id: each for each in tx.failures.find(ALL, 9)}
            assert (found["1"].state, found["1"].discarded_by) == (state, "Zoë")
            assert "by hand" in (found["1"].discard_reason or "")
            assert found["2"].discarded_by is None
            assert tx.failures.discarded(H, ["1", "2", "3"]) == {"1"}
            assert tx.failures.discarded("Other", ["1"]) == set()
            assert tx.failures.discarded(H, []) == set()

    def test_pruning_deletes_a_few_at_a_time(self, database: Database) -> None:
        with transaction(database) as tx:
            for n in range(5):
                tx.failures.save(failure(f"m-{n}", state=FailureState.ARCHIVED))
            tx.failures.save(failure("dead", state=FailureState.DEAD))
            archived = FailureFilter(state=FailureState.ARCHIVED)
            assert [tx.failures.prune(archived, 3) for _ in range(3)] == [3, 2, 0]
            assert tx.failures.count(ALL) == 1
