"""What a broker was given is counted on both sides, so that one that has lost its tail is found out."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from redis import Redis
from tests.support.bank import Bank, build_bank

from protean.deliver.lanes import Lane
from protean.deliver.relay import Relay
from protean.ports.recovery import LaneState


@pytest.fixture(params=["memory", "servers"])
def bank(request: pytest.FixtureRequest) -> Iterator[Bank]:
    config = {"brokers": {"default": {"provider": "memory"}}, "event_processing": "async"}
    if request.param == "servers":
        config = {
            "databases": {"default": {"database_uri": request.getfixturevalue("database_url")}},
            "brokers": {"default": {"uri": request.getfixturevalue("broker_url")}},
        }
    bank = build_bank(config)
    bank.domain.database().recovery.open_lanes("default", ["primary"])
    yield bank
    bank.domain.close()


def publish(bank: Bank) -> LaneState:
    """One batch; what is known of the lane afterwards."""
    bank.open(str(uuid4()))
    claim = bank.domain.lanes.claim("default", Lane.PRIMARY)
    Relay(bank.domain.database().outbox, bank.domain.broker(), claim, lambda row: "account").publish_batch(10)
    (state,) = bank.domain.database().recovery.lanes("default")
    return state


def test_every_batch_is_counted_by_the_broker_and_by_the_database(bank: Bank) -> None:
    states = [publish(bank) for _ in range(3)]
    assert [state.published for state in states] == [1, 2, 3]
    assert bank.domain.broker().tallies([states[-1].tally.key]) == [3]
    assert states[-1].lost_at is None


def test_a_broker_that_has_lost_its_count_is_found_out_by_the_next_batch(bank: Bank) -> None:
    publish(bank)
    bank.domain.broker().flush("")
    state = publish(bank)
    assert state.lost_at is not None
    assert state.lost_why


def test_the_evidence_stays_on_the_broker_until_the_loss_is_made_good(bank: Bank) -> None:
    publish(bank)
    bank.domain.broker().flush("")
    before = publish(bank)
    after = publish(bank)
    assert bank.domain.broker().tallies([after.tally.key]) == [0]
    assert after.published == before.published


def test_a_count_of_an_earlier_epoch_says_nothing_about_this_one(bank: Bank) -> None:
    recovery = bank.domain.database().recovery
    earlier = [publish(bank) for _ in range(3)][-1]
    recovery.lose("default", "primary", "as a person would say it")
    recovery.begin("default", [])
    (now,) = recovery.lanes("default")
    assert now.tally.key != earlier.tally.key
    assert now.published == 0
    assert publish(bank).published == 1


def test_a_stream_and_its_count_are_two_keys_that_no_command_names_together(broker_url: str) -> None:
    """The rule of a cluster; and the count comes after what it counts."""
    config = {
        "databases": {"default": {"provider": "memory"}},
        "brokers": {"default": {"uri": broker_url}},
        "event_processing": "async",
    }
    bank = build_bank(config)
    bank.domain.database().recovery.open_lanes("default", ["primary"])
    with Redis.from_url(broker_url) as admin, Redis.from_url(broker_url) as watcher, watcher.monitor() as monitor:
        key = publish(bank).tally.key
        admin.echo("that is all")
        told = []
        for line in monitor.listen():
            if "that is all" in line["command"]:
                break
            told.append(line["command"])
    bank.domain.close()
    (added,) = [number for number, command in enumerate(told) if command.startswith("XADD account ")]
    counting = [number for number, command in enumerate(told) if key in command]
    assert counting
    assert min(counting) > added
