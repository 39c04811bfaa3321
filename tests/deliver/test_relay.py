"""From the outbox to the streams: nothing is marked that was not taken, nothing taken is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from tests.support.bank import Bank, build_bank

from protean.adapters.memory.broker import MemoryBroker
from protean.deliver.gate import GateSlot, LaneGate, Passage
from protean.deliver.lanes import Lane, Lanes
from protean.deliver.relay import MAX_ATTEMPTS, SMALLEST_BATCH, Relay, RelaySettings
from protean.exceptions import BrokerError, BrokerUnavailableError
from protean.ports.broker import Tally
from protean.ports.outbox import OutboxRow
from protean.priority import Priority, processing_priority

CONFIG = {"brokers": {"default": {"provider": "memory"}}, "event_processing": "async"}


class MoodyBroker(MemoryBroker):
    """A broker in memory that can be away, and that refuses payloads naming what it dislikes."""

    away = False
    dislikes = b"nothing at all"
    batches: list[int]

    def publish(self, entries: Sequence[tuple[str, bytes]], tally: Tally | None = None) -> int:
        self.batches = [*getattr(self, "batches", []), len(entries)]
        if self.away:
            raise BrokerUnavailableError("nobody there")
        if any(self.dislikes in payload for _, payload in entries):
            raise BrokerError("refused")
        return super().publish(entries, tally)


@pytest.fixture
def bank() -> Iterator[Bank]:
    bank = build_bank(CONFIG)
    yield bank
    bank.domain.close()


@pytest.fixture
def broker() -> MoodyBroker:
    return MoodyBroker()


def relay(
    bank: Bank,
    broker: MoodyBroker,
    lane: Lane = Lane.PRIMARY,
    *,
    batch: int = 100,
    slot: GateSlot | None = None,
    passage: Passage | None = None,
    gather: float = 0.0,
) -> Relay:
    lanes = Lanes(enabled=True)

    def route(row: OutboxRow) -> str | None:
        return lanes.stream(row.category, lane)

    return Relay(
        bank.domain.database().outbox,
        broker,
        lanes.claim("default", lane),
        route,
        settings=RelaySettings(batch, gather=gather),
        slot=slot,
        passage=passage,
    )


def statuses(bank: Bank) -> dict[str, int]:
    counts: dict[str, int] = {}
    for count in bank.domain.database().outbox.count():
        counts[count.status] = counts.get(count.status, 0) + count.rows
    return counts


def test_each_lane_publishes_its_own_rows_to_its_own_stream(bank: Bank, broker: MoodyBroker) -> None:
    bank.open("a")
    with processing_priority(Priority.LOW):
        bank.deposit("a")
    assert relay(bank, broker, Lane.PRIMARY).publish_batch(10) == 1
    assert relay(bank, broker, Lane.BACKFILL).publish_batch(10) == 1
    assert [broker.stream(name).length for name in ("account", "account:backfill")] == [1, 1]
    assert statuses(bank) == {"published": 2}


def test_an_unreachable_broker_costs_no_attempts_and_no_rows(bank: Bank, broker: MoodyBroker) -> None:
    bank.open("a")
    broker.away = True
    with pytest.raises(BrokerUnavailableError):
        relay(bank, broker).publish_batch(10)
    assert statuses(bank) == {"pending": 1}
    broker.away = False
    with bank.domain.database().outbox.claim(Lanes(enabled=True).claim("default", Lane.PRIMARY), 10) as batch:
        assert batch is not None
        assert [row.attempts for row in batch.rows] == [0]


def test_a_row_the_broker_refuses_is_given_up_in_the_end_and_others_go_out_at_once(
    bank: Bank, broker: MoodyBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("good", "evil", "fine"):
        bank.open(name)
    broker.dislikes = b"evil"
    decided = Relay._next_attempt
    monkeypatch.setattr(Relay, "_next_attempt", lambda self, row: decided(self, row) and row.created_at)  # due already
    one = relay(bank, broker)
    one.publish_batch(10)
    assert statuses(bank) == {"published": 2, "pending": 1}
    for _ in range(MAX_ATTEMPTS - 1):
        one.publish_batch(10)
    assert statuses(bank) == {"published": 2, "failed": 1}
    assert broker.stream("account").length == 2


def test_rows_that_nobody_listens_to_are_marked_and_not_published(bank: Bank, broker: MoodyBroker) -> None:
    bank.open("a")
    lanes = Lanes(enabled=True)
    deaf = Relay(bank.domain.database().outbox, broker, lanes.claim("default", Lane.PRIMARY), lambda row: None)
    assert deaf.publish_batch(10) == 1
    assert statuses(bank) == {"published": 1}
    assert broker.stream("account").length == 0


def test_while_one_relay_has_the_lane_another_finds_nothing_to_do(bank: Bank, broker: MoodyBroker) -> None:
    bank.open("a")
    claim = Lanes(enabled=True).claim("default", Lane.PRIMARY)
    with bank.domain.database().outbox.claim(claim, 10):
        found: list[int] = []
        other = threading.Thread(target=lambda: found.append(relay(bank, broker).publish_batch(10)))
        other.start()
        other.join()
    assert found == [None]


def test_every_batch_is_counted_on_the_broker_and_with_the_marks(bank: Bank, broker: MoodyBroker) -> None:
    one, recovery = relay(bank, broker), bank.domain.database().recovery
    for number in range(1, 4):
        bank.open(f"a{number}")
        one.publish_batch(10)
        (lane,) = recovery.lanes("default")
        assert (lane.published, broker.tallies([lane.tally.key])) == (number, [number])


def test_a_broker_that_counts_more_than_was_marked_has_lost_nothing(bank: Bank, broker: MoodyBroker) -> None:
    """The process died between publishing and marking."""
    bank.open("a")
    relay(bank, broker).publish_batch(10)
    bank.open("b")
    outbox = bank.domain.database().outbox
    with (  # noqa: PT012  # the block is the subject
        pytest.raises(ZeroDivisionError),
        outbox.claim(Lanes(enabled=True).claim("default", Lane.PRIMARY), 10) as batch,
    ):
        assert batch is not None
        broker.publish([("account", b"{}")], batch.tally)
        raise ZeroDivisionError
    relay(bank, broker).publish_batch(10)
    (lane,) = bank.domain.database().recovery.lanes("default")
    assert (lane.published, lane.lost_at) == (3, None)


def test_a_broker_that_counts_less_is_known_to_have_lost_something_and_goes_on_being_used(
    bank: Bank, broker: MoodyBroker
) -> None:
    one, recovery = relay(bank, broker), bank.domain.database().recovery
    bank.open("a")
    one.publish_batch(10)
    broker.flush("")
    for name in ("b", "c"):
        bank.open(name)
        assert one.publish_batch(10) == 1
        (lane,) = recovery.lanes("default")
        assert lane.lost_at is not None
        assert broker.tallies([lane.tally.key]) == [0]  # whoever looks next sees it too
    assert statuses(bank) == {"published": 3}
    assert broker.stream("account").length == 2


def test_a_refused_row_keeps_the_others_counted(bank: Bank, broker: MoodyBroker) -> None:
    for name in ("good", "evil", "fine"):
        bank.open(name)
    broker.dislikes = b"evil"
    relay(bank, broker).publish_batch(10)
    (lane,) = bank.domain.database().recovery.lanes("default")
    assert broker.tallies([lane.tally.key]) == [lane.published]
    assert lane.published > 0


def test_rows_that_nobody_listens_to_count_for_nothing(bank: Bank, broker: MoodyBroker) -> None:
    bank.open("a")
    claim = Lanes(enabled=True).claim("default", Lane.PRIMARY)
    Relay(bank.domain.database().outbox, broker, claim, lambda row: None).publish_batch(10)
    assert bank.domain.database().recovery.lanes("default") == []


def test_after_an_outage_the_relay_tries_one_row_before_it_trusts_the_broker_with_more(
    bank: Bank, broker: MoodyBroker
) -> None:
    for number in range(5):
        bank.open(f"a{number}")
    broker.away = True
    one, stopping = relay(bank, broker), threading.Event()
    thread = threading.Thread(target=one.run, args=[stopping], daemon=True)
    thread.start()
    one.wake()
    _wait_until(lambda: len(getattr(broker, "batches", [])) >= 2)
    broker.away = False
    _wait_until(lambda: statuses(bank) == {"published": 5})
    stopping.set()
    one.wake()
    thread.join()
    sizes = broker.batches
    assert sizes[0] == 5
    assert sizes[1] == 1
    assert sum(size for size in sizes[sizes.index(1) :] if size > 1) == 4 or sizes[-1] in (1, 2, 4)


def test_the_bell_closes_the_gate_until_production_has_been_published(bank: Bank, broker: MoodyBroker) -> None:
    gate, closed = LaneGate(), []
    publish = broker.publish
    broker.publish = lambda *batch: (closed.append(gate.closed), publish(*batch))[1]  # type: ignore[method-assign]  # a look
    one, stopping = relay(bank, broker, slot=gate.slot(3)), threading.Event()
    thread = threading.Thread(target=one.run, args=[stopping], daemon=True)
    thread.start()
    bank.open("a")
    one.wake()
    _wait_until(lambda: statuses(bank) == {"published": 1} and not gate.closed)
    stopping.set()
    one.wake()
    thread.join()
    assert closed == [True]


def test_the_gate_stays_closed_until_a_subscription_can_have_taken_over(
    bank: Bank, broker: MoodyBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protean.deliver.relay.GATE_LINGER", 0.5)
    gate = LaneGate()
    with running(relay(bank, broker, slot=gate.slot(3))) as one:
        bank.open("a")
        one.wake()
        _wait_until(lambda: statuses(bank) == {"published": 1})
        assert gate.closed
        _wait_until(lambda: not gate.closed)


def test_backfill_is_not_even_published_while_production_has_work(bank: Bank, broker: MoodyBroker) -> None:
    gate = LaneGate()
    gate.slot(0).close()
    with processing_priority(Priority.LOW):
        bank.open("a")
    with running(relay(bank, broker, Lane.BACKFILL, passage=Passage(gate))) as one:
        one.wake()
        threading.Event().wait(0.1)
        assert statuses(bank) == {"pending": 1}
        gate.slot(0).open()
        _wait_until(lambda: statuses(bank) == {"published": 1})


def test_rows_that_trickle_into_a_lane_in_no_hurry_leave_it_in_a_few_batches(bank: Bank, broker: MoodyBroker) -> None:
    with running(relay(bank, broker, Lane.BACKFILL, gather=0.3)) as one, processing_priority(Priority.LOW):
        for number in range(20):
            bank.open(f"a{number}")
            one.wake()
            threading.Event().wait(0.01)
        _wait_until(lambda: statuses(bank) == {"published": 20})
    assert len(broker.batches) <= 5


def test_beside_production_backfills_batches_shrink_to_what_fits_their_time(
    bank: Bank, broker: MoodyBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = broker.publish

    def slowly(entries: Sequence[tuple[str, bytes]], tally: Tally | None = None) -> int:
        threading.Event().wait(0.0005 * len(entries))
        return publish(entries, tally)

    monkeypatch.setattr(broker, "publish", slowly)
    gate = LaneGate()
    passage = Passage(gate)
    for batches in ([80, 70], None):
        with processing_priority(Priority.LOW):
            for number in range(150):
                bank.open(f"a{number} {batches}")
        broker.batches = []
        with running(relay(bank, broker, Lane.BACKFILL, batch=80, passage=passage)):
            _wait_until(lambda: statuses(bank).get("pending", 0) == 0)
        if batches:
            assert broker.batches == batches  # nobody to yield to: as large as was asked for
            gate.slot(0).close()
            threading.Timer(0.05, gate.slot(0).open).start()
            passage.wait(threading.Event())
    first, *later, _last = broker.batches
    assert first == 80
    assert all(SMALLEST_BATCH <= size < 80 for size in later)


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


def test_a_lost_ring_costs_no_more_than_the_poll(bank: Bank, broker: MoodyBroker) -> None:
    one, stopping = relay(bank, broker), threading.Event()
    thread = threading.Thread(target=one.run, args=[stopping], daemon=True)
    thread.start()
    bank.open("a")  # nobody rings for this relay
    _wait_until(lambda: statuses(bank) == {"published": 1})
    stopping.set()
    one.wake()
    thread.join()


def _wait_until(done: Any) -> None:
    waited = threading.Event()
    for _ in range(2000):
        if done():
            return
        waited.wait(0.005)
    raise AssertionError("waited in vain")
