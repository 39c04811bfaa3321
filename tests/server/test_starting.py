"""Engines that are started before their servers, or while those take nothing: they wait, say for what, and go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from redis import Redis
from tests.faults.own_broker import OwnBroker
from tests.server.conftest import Cluster, wait_for
from tests.support.bank import Bank, build_bank

from protean.deliver import subscription
from protean.exceptions import BrokerUnavailableError, ConfigurationError
from protean.priority import Priority, processing_priority
from protean.server import waiting
from protean.server.engine import Engine
from protean.server.report import Phase
from protean.server.waiting import until_it_answers


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnBroker]:
    """A broker of this test's own, not started."""
    broker = OwnBroker(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def bank(own: OwnBroker, database_url: str) -> Iterator[Bank]:
    config = {
        "databases": {"default": {"database_uri": database_url}},
        "brokers": {"default": {"uri": own.url}},
        "server": {"priority_lanes": {"enabled": True}, "grace_period": 10.0},
    }
    bank = build_bank(config)
    bank.domain.database()
    yield bank
    bank.domain.close()


def begun(engine: Engine) -> threading.Thread:
    thread = threading.Thread(target=engine.start)
    thread.start()
    return thread


def test_asking_again_and_again_has_pauses_that_grow_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(waiting.time, "sleep", sleep)
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    asked: list[float] = []

    def ask() -> None:
        asked.append(now[0])
        raise BrokerUnavailableError("down")

    assert not until_it_answers("broker", ask, gave_up=lambda: now[0] > 300, tell=lambda what: None)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses[:3] == sorted(pauses[:3])
    assert max(pauses) < waiting.PAUSE_LAST + 0.5
    assert len(asked) < 80


def test_what_a_server_says_no_to_is_not_waited_for() -> None:
    def ask() -> None:
        raise ConfigurationError("wrong")

    with pytest.raises(ConfigurationError):
        until_it_answers("broker", ask, gave_up=lambda: False, tell=lambda what: None)


def test_an_engine_that_is_started_before_its_broker_waits_says_so_and_then_serves(
    own: OwnBroker, bank: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "protean.server")
    bank.open("a")
    engine = Engine(bank.domain)
    starting = begun(engine)
    wait_for(lambda: "The start waits for the broker: the broker redis://127.0.0.1:" in caplog.text)
    report = engine.report()
    assert report.phase is Phase.STARTING
    assert report.unfit[0].startswith("is starting and waits for the broker: the broker redis://127.0.0.1:")

    own.start()

    starting.join(30)
    assert "The broker answers after" in caplog.text
    assert caplog.text.count("The start waits for") == 1
    wait_for(lambda: bank.applied("a") == [0])
    assert engine.report().unfit == []
    assert engine.finish()


def test_an_engine_that_may_not_wait_fails_at_once(bank: Bank) -> None:
    with pytest.raises(BrokerUnavailableError):
        Engine(bank.domain, patient=False).start()


def test_an_engine_that_waits_ends_in_good_order_when_it_is_told_to(bank: Bank) -> None:
    engine = Engine(bank.domain)
    ended: list[bool] = []
    running = threading.Thread(target=lambda: ended.append(engine.run()))
    running.start()
    time.sleep(0.3)
    engine.stop()
    running.join(15)
    assert ended == [True]


def test_an_engine_that_is_started_while_its_broker_is_full_empties_it(
    own: OwnBroker, bank: Bank, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "SILENT_AFTER", 1.0)
    own.start()
    names = [f"acc-{number}" for number in range(30)]
    first = Engine(bank.domain)
    bank.between = lambda event: time.sleep(0.02)
    first.start()
    with processing_priority(Priority.LOW):
        for name in names:
            bank.open(name)
    broker = bank.domain.broker()
    wait_for(lambda: broker.stream("account:backfill").length >= 10)
    assert first.finish()
    with Redis.from_url(own.url) as admin:
        admin.config_set("maxmemory", "1")
        bank.between = lambda event: None
        second = Engine(bank.domain)
        second.start()
        wait_for(lambda: bank.domain.broker().stream("account:backfill").length == 0, lambda: caplog.text)

        assert "is not heard: the broker" in caplog.text
        assert bank.domain.broker().living() == []
        assert any("out of memory" in reason for reason in second.report().unfit)
        bank.open("late")
        wait_for(lambda: any("rows stay in the outbox" in thread.detail for thread in second.report().threads))
        admin.config_set("maxmemory", "0")
    wait_for(lambda: bank.domain.broker().living() == [second.consumer])
    wait_for(lambda: all(bank.applied(name) == [0] for name in [*names, "late"]))
    wait_for(lambda: not any(thread.detail for thread in second.report().threads))
    wait_for(lambda: second.report().unfit == [])
    assert second.finish()


def test_groups_that_a_full_broker_could_not_make_are_made_later_and_count_as_no_loss(
    own: OwnBroker, bank: Bank, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "BACKOFF_LAST", 0.5)
    caplog.set_level("INFO")
    own.start()
    with Redis.from_url(own.url) as admin:
        admin.config_set("maxmemory", "1")
        engine = Engine(bank.domain)
        engine.start()
        assert "is made later: the broker" in caplog.text
        bank.open("a")
        time.sleep(1.5)  # several attempts of every subscription
        admin.config_set("maxmemory", "0")
        wait_for(lambda: bank.applied("a") == [0])
        broker, recovery = bank.domain.broker(), bank.domain.database().recovery
        wait_for(lambda: all(len(broker.stream(each).groups) == 3 for each in ("account", "account:backfill")))
        time.sleep(0.5)  # whoever made one has said so, and what may have been missed is published again
        wait_for(lambda: all(state.lost_at is None for state in recovery.lanes("default")))
        assert "has lost messages" not in caplog.text

        admin.xgroup_destroy("account", "Postman")  # from here on a group that is gone is one that was lost
        wait_for(lambda: "the group Postman on account was gone" in caplog.text, lambda: caplog.text)
        assert "The broker default has lost messages" in caplog.text
    assert engine.finish()


def test_the_first_process_of_a_server_says_which_lanes_there_are(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "protean.server.lanes")
    cluster.start()
    assert (
        "Initialized priority lanes for LedgerProjector: primary='account', backfill='account:backfill'" in caplog.text
    )
