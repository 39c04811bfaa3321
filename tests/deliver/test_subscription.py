"""One lane served: what is read is handed over, and acknowledged only when it is settled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from protean.adapters.memory.broker import MemoryBroker
from protean.deliver import subscription as module
from protean.deliver.gate import LaneGate, Passage
from protean.deliver.lanes import Lane
from protean.deliver.subscription import LaneRoute, Subscription
from protean.exceptions import DatabaseUnavailableError
from protean.ports.handling import Delivery, Outcome, Verdict

STREAM, GROUP = "account", "Ledger"


class Handling:
    """Settles what it is given; `looks` runs while it does, `refuses` counts the times it cannot."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.looks: Callable[[], None] = lambda: None
        self.refuses = 0
        self.at_once = 100

    def execute(self, deliveries: Sequence[Delivery], *, grouped: bool, go_on: Callable[[], bool]) -> list[Outcome]:
        if self.refuses:
            self.refuses -= 1
            raise DatabaseUnavailableError("down")
        self.looks()
        taken = deliveries[: self.at_once]
        self.seen += [delivery.entry_id for delivery in taken]
        return [Outcome(Verdict.HANDLED, "m", "Opened") for _ in taken]


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    broker.ensure_group(STREAM, GROUP)
    return broker


@pytest.fixture
def serving(broker: MemoryBroker) -> Iterator[Callable[..., Subscription]]:
    stopping = threading.Event()
    threads: list[threading.Thread] = []

    def start(handling: Handling, lane: Lane = Lane.PRIMARY, consumer: str = "me", **options: Any) -> Subscription:
        broker.beat(consumer, 60.0)
        one = Subscription(
            LaneRoute(GROUP, STREAM, lane),
            broker,
            consumer,
            handling.execute,
            bury=lambda failure: None,
            bereave=lambda dead: None,
            **options,
        )
        threads.append(threading.Thread(target=one.run, args=[stopping]))
        threads[-1].start()
        return one

    yield start
    stopping.set()
    for thread in threads:
        thread.join(10)


def publish(broker: MemoryBroker, count: int) -> None:
    broker.publish([(STREAM, b"{}")] * count)


def wait_until(done: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if done():
            return
        pause.wait(0.005)
    raise AssertionError("waited in vain")


def pending(broker: MemoryBroker) -> int:
    return broker.stream(STREAM).groups[0].pending


def test_everything_is_handed_over_in_order_and_acknowledged(
    broker: MemoryBroker, serving: Callable[..., Subscription]
) -> None:
    handling = Handling()
    handling.at_once = 3
    publish(broker, 10)
    serving(handling)
    wait_until(lambda: broker.stream(STREAM).length == 0)
    assert handling.seen == sorted(handling.seen, key=lambda entry: int(entry.partition("-")[0]))
    assert len(handling.seen) == 10


def test_production_closes_the_gate_while_it_has_work_and_opens_it_afterwards(
    broker: MemoryBroker, serving: Callable[..., Subscription]
) -> None:
    gate, handling = LaneGate(), Handling()
    closed: list[bool] = []
    handling.looks = lambda: closed.append(gate.closed)
    serving(handling, slot=gate.slot(0))
    publish(broker, 1)
    wait_until(lambda: broker.stream(STREAM).length == 0 and not gate.closed)
    assert closed == [True]


def test_backfill_hands_nothing_over_while_the_gate_is_closed(
    broker: MemoryBroker, serving: Callable[..., Subscription]
) -> None:
    gate, handling = LaneGate(), Handling()
    gate.slot(0).close()
    publish(broker, 1)
    serving(handling, Lane.BACKFILL, passage=Passage(gate))
    wait_until(lambda: pending(broker) == 1)
    threading.Event().wait(0.1)
    assert handling.seen == []
    gate.slot(0).open()
    wait_until(lambda: broker.stream(STREAM).length == 0)


def test_backfill_that_trickles_in_is_handled_in_a_few_transactions(
    broker: MemoryBroker, serving: Callable[..., Subscription], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protean.deliver.subscription.GATHER", 0.3)
    handling = Handling()
    transactions: list[int] = []
    handling.looks = lambda: transactions.append(1)
    serving(handling, Lane.BACKFILL, passage=Passage(LaneGate()))
    for _ in range(20):
        publish(broker, 1)
        threading.Event().wait(0.01)
    wait_until(lambda: len(handling.seen) == 20)
    assert len(transactions) <= 5


def test_while_the_database_is_away_messages_stay_in_hand_and_unacknowledged(
    broker: MemoryBroker, serving: Callable[..., Subscription]
) -> None:
    handling = Handling()
    handling.refuses = 2
    publish(broker, 1)
    serving(handling)
    wait_until(lambda: pending(broker) == 1)
    wait_until(lambda: broker.stream(STREAM).length == 0)
    assert len(handling.seen) == 1


def test_entries_of_a_consumer_that_is_gone_are_taken_over_and_of_a_living_one_left_alone(
    broker: MemoryBroker, serving: Callable[..., Subscription], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECLAIM_INTERVAL", 0.05)
    publish(broker, 4)
    broker.beat("living", 60.0)
    kept = broker.read(STREAM, GROUP, "living", 2, 0.0)
    lost = broker.read(STREAM, GROUP, "dead", 2, 0.0)
    handling = Handling()
    serving(handling)
    wait_until(lambda: pending(broker) == 2)
    assert handling.seen == [entry.id for entry in lost]
    assert [entry.id for entry in broker.pending(STREAM, GROUP, "living", "0", 10)] == [entry.id for entry in kept]


def test_what_a_restarted_consumer_had_in_hand_it_finds_again(
    broker: MemoryBroker, serving: Callable[..., Subscription]
) -> None:
    publish(broker, 2)
    broker.read(STREAM, GROUP, "me", 2, 0.0)
    handling = Handling()
    serving(handling)
    wait_until(lambda: broker.stream(STREAM).length == 0)
    assert len(handling.seen) == 2


def test_a_group_that_vanished_is_told_before_it_is_made_again(
    broker: MemoryBroker, serving: Callable[..., Subscription]
) -> None:
    told: list[tuple[str, bool]] = []

    def lost(why: str) -> None:
        told.append((why, bool(broker.stream(STREAM).groups)))
        if len(told) == 1:
            raise DatabaseUnavailableError("down")  # so nobody has heard it

    serving(Handling(), lost=lost)
    broker.flush("")
    wait_until(lambda: bool(broker.stream(STREAM).groups))
    assert told == [(f"the group {GROUP} on {STREAM} was gone", False)] * 2


def test_entries_that_were_trimmed_in_somebodys_hands_are_told(
    broker: MemoryBroker, serving: Callable[..., Subscription]
) -> None:
    told: list[str] = []

    def lost(why: str) -> None:
        told.append(why)
        if len(told) == 1:
            raise DatabaseUnavailableError("down")

    publish(broker, 2)
    broker.read(STREAM, GROUP, "me", 2, 0.0)
    broker._streams[STREAM].trim(10**9)
    handling = Handling()
    serving(handling, lost=lost)
    wait_until(lambda: pending(broker) == 0)
    assert told == [f"entries of {STREAM} were trimmed while {GROUP} had them in hand"] * 2
    assert len(handling.seen) == 2


def test_a_group_that_vanished_is_made_again(broker: MemoryBroker, serving: Callable[..., Subscription]) -> None:
    handling = Handling()
    serving(handling)
    broker.flush("")
    wait_until(lambda: bool(broker.stream(STREAM).groups))
    publish(broker, 1)
    wait_until(lambda: len(handling.seen) == 1)


def test_while_the_handler_rests_nothing_is_handed_over_and_the_gate_is_open(
    broker: MemoryBroker, serving: Callable[..., Subscription]
) -> None:
    gate, handling, rests = LaneGate(), Handling(), [60.0]
    publish(broker, 3)
    serving(handling, rests_for=lambda: rests[0], slot=gate.slot(0))
    wait_until(lambda: pending(broker) == 3)
    threading.Event().wait(0.1)
    assert handling.seen == []
    assert not gate.closed
    rests[0] = 0.0
    wait_until(lambda: broker.stream(STREAM).length == 0)
    assert len(handling.seen) == 3


def test_what_got_no_outcome_stays_in_hand_and_is_handed_over_again(
    broker: MemoryBroker, serving: Callable[..., Subscription]
) -> None:
    handling = Handling()
    handling.at_once = 0
    publish(broker, 2)
    serving(handling)
    wait_until(lambda: pending(broker) == 2)
    handling.at_once = 1
    wait_until(lambda: broker.stream(STREAM).length == 0)
    assert len(handling.seen) == 2
