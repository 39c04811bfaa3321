"""Entries in hand: acknowledged after they are handled, and taken over only from those who are surely gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from protean.adapters.memory.broker import MemoryBroker
from protean.deliver import subscription as module
from protean.deliver.lanes import Lane
from protean.deliver.subscription import SUSPECTED_AFTER, LaneRoute, Subscription
from protean.exceptions import BrokerUnavailableError
from protean.ports.broker import Entry
from protean.ports.handling import Delivery, Outcome, Verdict

STREAM, GROUP = "account", "Ledger"


class WatchedBroker(MemoryBroker):
    """Notes who is taken over from. `deliveries`: how often each entry is said to have been in somebody's hands."""

    def __init__(self) -> None:
        super().__init__()
        self.happened: list[str] = []
        self.deliveries = 1
        self.looks = 0
        self.looked = lambda: None
        self.loses_the_next_reply = False

    def read(self, stream: str, group: str, consumer: str, count: int, block: float) -> list[Entry]:
        entries = super().read(stream, group, consumer, count, block)
        if entries and self.loses_the_next_reply:
            self.loses_the_next_reply = False
            raise BrokerUnavailableError("no reply")
        return entries

    def absent(self, stream: str, group: str, *, asking: str = "") -> list[str]:
        self.looks += 1
        found = super().absent(stream, group, asking=asking)
        self.looked()
        return found

    def claim(self, stream: str, group: str, dead: str, consumer: str, count: int) -> list[Entry]:
        self.happened.append(f"claimed from {dead}")
        claimed = super().claim(stream, group, dead, consumer, count)
        return [replace(entry, deliveries=self.deliveries) for entry in claimed]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> WatchedBroker:
    monkeypatch.setattr(module, "RECLAIM_INTERVAL", 0.02)
    monkeypatch.setattr(module, "READ_BLOCK", 0.02)
    broker = WatchedBroker()
    broker.ensure_group(STREAM, GROUP)
    return broker


@pytest.fixture
def serving(broker: WatchedBroker) -> Iterator[Callable[..., list[Delivery]]]:
    """Serve the lane until the test is over; what is handed over."""
    stopping, threads = threading.Event(), []

    def start(handles: Callable[[], Any] = lambda: None) -> list[Delivery]:
        handed: list[Delivery] = []

        def execute(deliveries: Sequence[Delivery], *, grouped: bool, go_on: Callable[[], bool]) -> list[Outcome]:
            handles()
            handed.extend(deliveries)
            return [Outcome(Verdict.HANDLED, "m", "Opened") for _ in deliveries]

        broker.beat("me", 60.0)
        one = Subscription(
            LaneRoute(GROUP, STREAM, Lane.PRIMARY),
            broker,
            "me",
            execute,
            bury=lambda failure: None,
            bereave=lambda dead: broker.happened.append(f"ended the sessions of {dead}"),
        )
        threads.append(threading.Thread(target=one.run, args=[stopping]))
        threads[-1].start()
        return handed

    yield start
    stopping.set()
    for thread in threads:
        thread.join(10)


def left_behind(broker: WatchedBroker, count: int) -> list[str]:
    """Entries that a consumer named `dead` has read and never acknowledged."""
    broker.publish([(STREAM, b"{}")] * count)
    return [entry.id for entry in broker.read(STREAM, GROUP, "dead", count, 0.0)]


def wait_until(done: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if done():
            return
        pause.wait(0.005)
    raise AssertionError("waited in vain")


def test_nothing_is_acknowledged_before_it_is_handled(
    broker: WatchedBroker, serving: Callable[..., list[Delivery]]
) -> None:
    pending: list[int] = []
    broker.publish([(STREAM, b"{}")] * 3)
    serving(lambda: pending.append(broker.stream(STREAM).groups[0].pending))
    wait_until(lambda: broker.stream(STREAM).length == 0)
    assert pending == [3]


def test_who_is_absent_for_one_look_only_keeps_what_it_has(
    broker: WatchedBroker, serving: Callable[..., list[Delivery]]
) -> None:
    mine = left_behind(broker, 2)
    # As after a pause of the broker itself, when every sign of life has expired and all beat again at once.
    broker.looked = lambda: broker.beat("dead", 60.0)
    handed = serving()
    wait_until(lambda: broker.looks >= 4)
    assert handed == []
    assert broker.happened == []  # above all, nobody's sessions were ended
    assert [entry.id for entry in broker.pending(STREAM, GROUP, "dead", "0", 10)] == mine


def test_the_sessions_of_the_dead_are_ended_before_their_entries_are_claimed(
    broker: WatchedBroker, serving: Callable[..., list[Delivery]]
) -> None:
    left_behind(broker, 2)
    handed = serving()
    wait_until(lambda: len(handed) == 2)
    assert broker.happened[:2] == ["ended the sessions of dead", "claimed from dead"]


def test_the_first_entry_that_several_processes_died_with_is_suspected_and_no_other(
    broker: WatchedBroker, serving: Callable[..., list[Delivery]]
) -> None:
    left_behind(broker, 3)
    broker.deliveries = SUSPECTED_AFTER
    handed = serving()
    wait_until(lambda: len(handed) == 3)
    assert [delivery.suspected for delivery in handed] == [True, False, False]


def test_an_entry_that_fewer_processes_died_with_is_handled_once_more(
    broker: WatchedBroker, serving: Callable[..., list[Delivery]]
) -> None:
    left_behind(broker, 1)
    broker.deliveries = SUSPECTED_AFTER - 1
    handed = serving()
    wait_until(lambda: len(handed) == 1)
    assert not handed[0].suspected


def test_entries_whose_reply_was_lost_are_found_among_ones_own(
    broker: WatchedBroker, serving: Callable[..., list[Delivery]]
) -> None:
    handed = serving()
    wait_until(lambda: broker.looks >= 2)  # its own pending ones have been looked for, and there were none
    broker.loses_the_next_reply = True
    broker.publish([(STREAM, b"{}")] * 2)
    wait_until(lambda: len(handed) == 2)
    wait_until(lambda: broker.stream(STREAM).length == 0)
