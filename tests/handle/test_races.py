"""What two threads may do to one aggregate at the same moment, and what a failure may cost the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from tests.support.bank import Bank, build_bank

from protean.handle.retry import RetryPolicy
from protean.ports.progress import FailureFilter, FailureState


@pytest.fixture
def on_postgresql(database_url: str) -> Iterator[Bank]:
    """Elsewhere one transaction at a time may write, and nothing can happen while another is open."""
    bank = build_bank(
        {
            "databases": {"default": {"provider": "postgresql", "database_uri": database_url}},
            "brokers": {"default": {"provider": "memory"}},
            "event_processing": "async",
        }
    )
    with bank.domain.domain_context():
        yield bank
    bank.domain.close()


def test_what_is_delivered_while_a_retry_is_succeeding_waits_for_it_and_is_applied(
    on_postgresql: Bank, database_url: str
) -> None:
    bank = on_postgresql
    bank.open("a")
    bank.deposit("a")
    bank.fails = {"a:1"}
    executor = bank.executor(policy=RetryPolicy(base_delay=0.0))
    executor.execute(bank.deliveries("a"), grouped=False, go_on=lambda: True)
    bank.fails = set()
    transaction = bank.domain.database().transaction()
    (failure,) = transaction.failures.claim(FailureFilter(state=FailureState.WAITING), 1, 30.0)
    transaction.commit()
    outcomes: list[Any] = []

    def write_and_deliver_the_next() -> None:
        with bank.domain.domain_context():
            bank.deposit("a")
            *_, last = bank.deliveries("a")
            outcomes.extend(bank.executor().execute([last], grouped=False, go_on=lambda: True))

    deliverer = threading.Thread(target=write_and_deliver_the_next)

    def meanwhile(event: Any) -> None:
        """The retry has seen the end of the log, and holds the position."""
        bank.between = lambda event: None
        deliverer.start()
        _wait_until(lambda: _somebody_waits_for_a_lock(database_url) or bool(outcomes))

    bank.between = meanwhile
    assert executor.retry(failure) is None
    deliverer.join(30)
    assert bank.applied("a") == [0, 1, 2]
    assert bank.position("a") == (2, False)


@pytest.mark.parametrize("handler", ["LedgerProjector", "Postman"])
def test_a_failure_that_is_due_in_an_hour_costs_the_lane_no_time(bank: Bank, handler: str) -> None:
    for name in ("a", "b"):
        bank.open(name)
        bank.rename(name, "Ann")
    bank.fails = {"a", "post a"}
    executor = bank.executor(handler, RetryPolicy(base_delay=3600.0))
    deliveries = [*bank.deliveries("a"), *bank.deliveries("b")]
    outcomes: list[Any] = []

    def serve() -> None:
        with bank.domain.domain_context():
            outcomes.extend(executor.execute(deliveries, grouped=False, go_on=lambda: True))

    lane = threading.Thread(target=serve, daemon=True)
    lane.start()
    lane.join(10)
    assert len(outcomes) == 4


def _somebody_waits_for_a_lock(url: str) -> bool:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return found.fetchone() is not None


def _wait_until(done: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if done():
            return
        pause.wait(0.01)
    raise AssertionError("waited in vain")
