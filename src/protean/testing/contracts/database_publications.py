"""`Publications`: what is committed for brokers beyond the domain, in each aggregate's order, and nothing else."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from protean.message import NewMessage
from protean.ports.database import Database
from protean.testing.contracts.database_steps import BROKER, Elsewhere, message, outcomes, transaction

THEIRS = "theirs"


def commit(database: Database, *messages: NewMessage, brokers: Sequence[str] = (THEIRS,)) -> None:
    """Write messages, all of them for these brokers as well."""
    with transaction(database) as tx:
        tx.log.append(messages, BROKER)
        tx.publications.add(messages, brokers)


def publish(database: Database, broker: str = THEIRS, limit: int = 1000) -> list[tuple[str, int]] | None:
    """Claim and forget; aggregate and position of each, None when another relay was at it."""
    with database.publications.claim(broker, limit) as batch:
        if batch is None:
            return None
        batch.published([row.id for row in batch.rows])
        return [(row.stream_name, row.position) for row in batch.rows]


def refuse(database: Database, seconds: float, *, row: int = 0) -> None:
    """Have a broker refuse one row, until so many seconds from now."""
    with database.publications.claim(THEIRS, 1000) as batch:
        assert batch is not None
        batch.refused(batch.rows[row].id, "too\0large", datetime.now(UTC) + timedelta(seconds=seconds))


class PublicationsContract:
    @pytest.fixture
    def elsewhere(self) -> Iterator[Elsewhere]:
        thread = Elsewhere()
        yield thread
        thread.close()

    def test_a_row_tells_what_the_envelope_needs(self, database: Database) -> None:
        sent = message("customer-1", name="Ada")
        commit(database, message("customer-1"), sent)
        with database.publications.claim(THEIRS, 10) as batch:
            assert batch is not None
            row = batch.rows[1]
        assert (row.message_id, row.stream_name, row.category, row.position) == (sent.id, "customer-1", "customer", 1)
        assert row.attempts == 0
        assert "Ada" in row.data
        assert sent.id in row.metadata

    def test_the_order_is_that_of_writing_whatever_the_priority(self, database: Database) -> None:
        messages = [message(f"customer-{n % 7}", priority=(0, 100, -50)[n % 3]) for n in range(60)]
        for n in range(0, 60, 20):
            commit(database, *messages[n : n + 20])
        published = [each for _ in range(4) for each in publish(database, limit=17) or []]
        assert [stream for stream, _ in published] == [each.stream_name for each in messages]
        assert publish(database) == []

    def test_every_broker_has_rows_of_its_own(self, database: Database) -> None:
        commit(database, message(), message(), brokers=("a", "b"))
        assert publish(database, "a") == [("customer-1", 0), ("customer-1", 1)]
        assert not database.publications.waiting("a")
        assert database.publications.waiting("b")
        assert [(each.broker, each.rows) for each in database.publications.count()] == [("b", 2)]

    def test_a_rollback_leaves_nothing_to_publish(self, database: Database) -> None:
        tx = database.transaction()
        messages = [message()]
        tx.log.append(messages, BROKER)
        tx.publications.add(messages, [THEIRS])
        tx.rollback()
        assert not database.publications.waiting(THEIRS)
        assert publish(database) == []

    def test_an_error_in_the_block_forgets_nothing(self, database: Database) -> None:
        commit(database, message())
        with pytest.raises(ZeroDivisionError), database.publications.claim(THEIRS, 10) as batch:  # noqa: PT012 - the block is the subject
            assert batch is not None
            batch.published([row.id for row in batch.rows])
            raise ZeroDivisionError
        assert publish(database) == [("customer-1", 0)]

    def test_relays_of_one_broker_exclude_each_other_and_neither_another_brokers_nor_the_lanes(
        self, database: Database, elsewhere: Elsewhere
    ) -> None:
        commit(database, message(), brokers=("a", "b"))
        with database.publications.claim("a", 10) as batch:
            assert batch is not None
            others = [elsewhere.start(publish, database, broker) for broker in ("a", "b")]
            assert outcomes(others) == [None, [("customer-1", 0)]]
        assert publish(database, "a") == [("customer-1", 0)]

    def test_nothing_of_an_aggregate_goes_past_what_was_refused_of_it(self, database: Database) -> None:
        commit(database, *(message(f"customer-{n % 2}") for n in range(6)))
        refuse(database, 60, row=2)  # the second of customer-0
        assert publish(database) == [("customer-0", 0), ("customer-1", 0), ("customer-1", 1), ("customer-1", 2)]
        assert not database.publications.waiting(THEIRS)
        commit(database, message("customer-0"))
        assert publish(database) == []
        (count,) = database.publications.count()
        assert (count.category, count.rows, count.refused) == ("customer", 3, 1)
        assert (count.last_error or "").startswith("too")

    def test_what_was_refused_comes_first_when_its_time_has_come(self, database: Database) -> None:
        commit(database, message(), message())
        refuse(database, -1)
        with database.publications.claim(THEIRS, 10) as batch:
            assert batch is not None
            assert [(row.position, row.attempts) for row in batch.rows] == [(0, 1), (1, 0)]

    def test_an_event_whose_commit_comes_late_is_not_skipped(self, database: Database, elsewhere: Elsewhere) -> None:
        late, messages = database.transaction(), [message("customer-1")]
        late.log.append(messages, BROKER)
        late.publications.add(messages, [THEIRS])
        other = elsewhere.start(commit, database, message("customer-2"))
        published = [] if elsewhere.waits(other) else publish(database)
        late.commit()
        other.result(timeout=20)
        assert len(published or []) + len(publish(database) or []) == 2

    def test_what_nobody_will_get_can_be_forgotten_a_few_at_a_time(self, database: Database) -> None:
        commit(database, *(message() for _ in range(5)), brokers=("a", "b"))
        assert [database.publications.forget("a", 3) for _ in range(3)] == [3, 2, 0]
        assert [(each.broker, each.rows) for each in database.publications.count()] == [("b", 5)]
