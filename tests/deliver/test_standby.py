"""A relay whose lane another engine has: it takes over soon when that one dies, and costs little until then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

import pytest
from tests.support.bank import Bank, build_bank

from protean.adapters.memory.broker import MemoryBroker
from protean.adapters.sql import SqlDatabase
from protean.deliver import relay as module
from protean.deliver.activity import State
from protean.deliver.lanes import Lane, Lanes
from protean.deliver.relay import STANDBY_INTERVAL, Relay
from protean.exceptions import BrokerUnavailableError, DatabaseError
from protean.ports.broker import Tally
from protean.ports.outbox import Claim, Outbox, OutboxBatch, OutboxCount

CLAIM = Lanes().claim("default", Lane.PRIMARY)


class Counted:
    """An outbox that counts what a relay asks of it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.asked = self.claimed = 0

    def waiting(self, claim: Claim) -> bool:
        self.asked += 1
        return self._outbox.waiting(claim)

    def claim(self, claim: Claim, limit: int) -> AbstractContextManager[OutboxBatch | None]:
        self.claimed += 1
        return self._outbox.claim(claim, limit)

    def count(self) -> list[OutboxCount]:
        return self._outbox.count()

    def prune(self, published_before: datetime, limit: int) -> int:
        return self._outbox.prune(published_before, limit)

    def revive(self, limit: int) -> int:
        return self._outbox.revive(limit)


class Reachable(MemoryBroker):
    away = False

    def publish(self, entries: Sequence[tuple[str, bytes]], tally: Tally | None = None) -> int:
        if self.away:
            raise BrokerUnavailableError("nobody there")
        return super().publish(entries, tally)


class Holder:
    """Another engine's relay in the middle of a batch: it has the lane until its session ends, or it is done."""

    def __init__(self, url: str) -> None:
        self.database = SqlDatabase(url, application_name="holder")
        self._holds, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold)
        self._thread.start()
        assert self._holds.wait(10)

    def finish(self) -> None:
        """Mark the batch."""
        self._done.set()
        self._thread.join()

    def close(self) -> None:
        self.finish()
        self.database.close()

    def _hold(self) -> None:
        try:
            with self.database.outbox.claim(CLAIM, 10) as batch:
                assert batch is not None
                self._holds.set()
                self._done.wait(60)
                batch.published([row.id for row in batch.rows])
        except DatabaseError:
            return  # its session was ended


@pytest.fixture
def bank(database_url: str) -> Iterator[Bank]:
    bank = build_bank(
        {
            "databases": {"default": {"database_uri": database_url}},
            "brokers": {"default": {"provider": "memory"}},
            "event_processing": "async",
        }
    )
    yield bank
    bank.domain.close()


@contextmanager
def running(one: Relay) -> Iterator[Relay]:
    stopping = threading.Event()
    thread = threading.Thread(target=one.run, args=[stopping], daemon=True)
    thread.start()
    try:
        yield one
    finally:
        stopping.set()
        one.wake()
        thread.join()


def wait_for(done: Callable[[], bool], within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def pending(bank: Bank) -> int:
    return sum(count.rows for count in bank.domain.database().outbox.count() if count.status == "pending")


def test_a_standby_that_had_been_waiting_takes_over_about_a_second_after_the_other_died(
    bank: Bank, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_FIRST", 3.0)
    bank.open("a")
    broker = Reachable()
    broker.away = True
    standby = Relay(bank.domain.database().outbox, broker, CLAIM, lambda row: row.category)
    with running(standby):
        wait_for(lambda: standby.activity.state is State.WAITING)
        holder = Holder(database_url)
        broker.away = False
        wait_for(lambda: standby.activity.state is State.IDLE)  # it has found that the lane is another's
        died = time.monotonic()
        sessions = bank.domain.sessions("default")
        assert sessions is not None
        assert sessions.terminate("holder") == 1
        wait_for(lambda: pending(bank) == 0)
        assert time.monotonic() - died < STANDBY_INTERVAL + 0.5
        holder.close()
    assert broker.stream("account").length == 1


def test_an_idle_standby_costs_one_question_a_second(bank: Bank, database_url: str) -> None:
    bank.open("a")
    outbox = Counted(bank.domain.database().outbox)
    holder = Holder(database_url)
    with running(Relay(outbox, MemoryBroker(), CLAIM, lambda row: row.category)):
        wait_for(lambda: outbox.claimed == 1)
        holder.close()
        asked, seconds = outbox.asked, 3.2
        time.sleep(seconds)
        assert outbox.claimed == 1  # there was nothing to claim
        assert 2 <= outbox.asked - asked <= seconds / STANDBY_INTERVAL + 1


def test_a_standby_answers_the_bell_at_once(bank: Bank, database_url: str) -> None:
    bank.open("a")
    outbox, broker = Counted(bank.domain.database().outbox), MemoryBroker()
    holder = Holder(database_url)
    standby = Relay(outbox, broker, CLAIM, lambda row: row.category)
    with running(standby):
        wait_for(lambda: outbox.claimed == 1)
        holder.close()
        bank.open("b")
        rung = time.monotonic()
        standby.wake()
        wait_for(lambda: broker.stream("account").length == 1)
        assert time.monotonic() - rung < STANDBY_INTERVAL / 2
