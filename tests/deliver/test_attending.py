"""Streams that share a few threads: everything is handled, whoever rang or did not, and nobody waits behind one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from protean.adapters.memory.broker import MemoryBroker
from protean.deliver import attending as module
from protean.deliver.attending import Attendants
from protean.deliver.doorbell import Announcing, stream_bell
from protean.deliver.gate import LaneGate
from protean.deliver.lanes import Lane
from protean.deliver.subscription import LaneRoute, Subscription, SubscriptionSettings
from protean.exceptions import BrokerUnavailableError
from protean.ports.handling import Delivery, Outcome, Verdict
from protean.server.backlog import SELDOM, BacklogWatch

STREAMS = [f"account{number}:command" for number in range(6)]
TURN = 3


class Office:
    """Attendants over one subscription a stream. `handled` has the streams in the order of their messages' handling."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.gate = LaneGate()
        self.handled: list[str] = []
        self.within: Callable[[str], None] = lambda stream: None
        self.attendants = Attendants(broker, [self._subscription(number) for number in range(len(STREAMS))])
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=each.run, args=[self.stopping]) for each in self.attendants.workers]

    def open(self, *, watching: bool) -> None:
        """Begin to work; with `watching`, there is a thread that looks."""
        self.threads += [threading.Thread(target=self.attendants.watch, args=[self.stopping])] if watching else []
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        self.stopping.set()
        self.attendants.watch(self.stopping)
        for thread in self.threads:
            if thread.ident is not None:
                thread.join(10)
                assert not thread.is_alive()

    def _subscription(self, number: int) -> Subscription:
        stream = STREAMS[number]

        def execute(deliveries: Sequence[Delivery], *, grouped: bool, go_on: Callable[[], bool]) -> list[Outcome]:
            self.within(stream)
            self.handled += [stream] * len(deliveries)
            return [Outcome(Verdict.HANDLED, "m", "Open") for _ in deliveries]

        return Subscription(
            LaneRoute("Teller", stream, Lane.PRIMARY),
            self.broker,
            "me",
            execute,
            bury=lambda failure: None,
            bereave=lambda dead: None,
            slot=self.gate.slot(number),
            settings=SubscriptionSettings(TURN, waits=False),
        )


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    broker.beat("me", 60.0)
    for stream in STREAMS:
        broker.ensure_group(stream, "Teller")
    return broker


@pytest.fixture
def office(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.setattr(module, "LOOK_INTERVAL", 0.02)
    office = Office(broker)
    yield office
    office.close()


def wait_until(done: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if done():
            return
        pause.wait(0.005)
    raise AssertionError("waited in vain")


def test_whose_bell_is_rung_is_handled_without_a_look_and_the_gate_is_open_again(office: Office) -> None:
    rings = {stream_bell(stream): stream for stream in STREAMS}
    publisher = Announcing(office.broker, STREAMS, lambda bell: office.attendants.call(rings[bell]))
    office.open(watching=False)
    for _ in range(50):
        publisher.publish([(STREAMS[0], b"{}"), (STREAMS[3], b"{}"), ("account", b"{}")])
    wait_until(lambda: sorted(office.handled) == [STREAMS[0]] * 50 + [STREAMS[3]] * 50)
    wait_until(lambda: not office.gate.closed)


def test_what_nobody_rang_for_is_found_by_a_look(office: Office) -> None:
    office.open(watching=True)
    wait_until(lambda: all(office.broker.stream(stream).groups[0].consumers for stream in STREAMS))  # the first round
    office.broker.publish([(stream, b"{}") for stream in STREAMS])
    wait_until(lambda: sorted(office.handled) == STREAMS)


def test_a_long_stream_holds_up_no_other_for_longer_than_a_turn(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ATTENDANTS", 1)
    office = Office(broker)
    broker.publish([(STREAMS[0], b"{}")] * 10 * TURN + [(STREAMS[1], b"{}")])
    office.attendants.call(STREAMS[0])
    office.attendants.call(STREAMS[1])
    office.open(watching=False)
    wait_until(lambda: len(office.handled) == 10 * TURN + 1)
    office.close()
    assert office.handled.index(STREAMS[1]) <= TURN


def test_as_many_as_there_are_attendants_work_at_once_and_never_two_for_one_stream(office: Office) -> None:
    at_work: list[str] = []
    most: list[int] = []
    twice: list[str] = []
    together = threading.Barrier(module.ATTENDANTS)

    def within(stream: str) -> None:
        twice.extend([stream] if stream in at_work else [])
        at_work.append(stream)
        together.wait(10)
        most.append(len(at_work))
        together.wait(10)
        at_work.remove(stream)

    office.within = within
    office.broker.publish([(stream, b"{}") for stream in STREAMS[: module.ATTENDANTS]] * 2 * TURN)
    for stream in STREAMS * 3:
        office.attendants.call(stream)
    office.open(watching=True)
    wait_until(lambda: len(office.handled) == module.ATTENDANTS * 2 * TURN)
    assert twice == []
    assert max(most) == module.ATTENDANTS


def test_who_is_called_at_the_end_of_a_turn_that_found_nothing_has_another_one(office: Office) -> None:
    attendants, stopping = office.attendants, office.stopping
    attendants.call(STREAMS[0])
    first = attendants.next(stopping)
    assert first is not None
    attendants.call(STREAMS[0])  # it may have read just before what this is for
    attendants.done(first, stopping, more=False)
    attendants.call(STREAMS[1])
    assert attendants.next(stopping) is first


def test_groups_that_are_gone_are_made_anew_at_the_next_round(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUND_INTERVAL", 0.05)
    office.open(watching=True)
    wait_until(lambda: all(office.broker.stream(stream).groups[0].consumers for stream in STREAMS))
    office.broker.flush("")
    office.broker.beat("me", 60.0)
    wait_until(lambda: all(office.broker.stream(stream).groups for stream in STREAMS))


def test_all_are_called_while_nobody_can_tell_who_has_something(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(groups: Sequence[tuple[str, str]]) -> list[int]:
        raise BrokerUnavailableError("down")

    office = Office(broker)
    office.attendants.look()  # a round, which all are called for anyway
    office.open(watching=False)
    wait_until(lambda: all(broker.stream(stream).groups[0].consumers for stream in STREAMS))
    broker.publish([(stream, b"{}") for stream in STREAMS])
    monkeypatch.setattr(broker, "backlog", refuse)
    office.attendants.look()
    wait_until(lambda: sorted(office.handled) == STREAMS)
    office.close()


class Watched(MemoryBroker):
    """Notes which streams somebody asks the backlog of."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []

    def backlog(self, groups: Sequence[tuple[str, str]]) -> list[int]:
        self.asked.append([stream for stream, _ in groups])
        return super().backlog(groups)


@pytest.fixture
def watched() -> Watched:
    watched = Watched()
    for stream in ("account", "account:command"):
        watched.ensure_group(stream, "Teller")
    return watched


def watch_over(broker: Watched, gate: LaneGate) -> BacklogWatch:
    return BacklogWatch(broker, gate, gate.slot(0), [("account", "Teller")], [("account:command", "Teller")])


def test_productions_backlog_is_asked_for_seldom_while_backfill_wants_nothing(watched: Watched) -> None:
    gate = LaneGate()
    watch = watch_over(watched, gate)
    for _ in range(2 * SELDOM):
        watch.look()
    assert watched.asked == [["account", "account:command"]] * 2
    gate.wanted = True
    watch.look()
    assert watched.asked[2:] == [["account"]]


@pytest.mark.parametrize("stream", ["account", "account:command"])
def test_a_backlog_that_a_second_look_confirms_closes_the_gate_until_it_is_gone(watched: Watched, stream: str) -> None:
    gate = LaneGate()
    watch = watch_over(watched, gate)
    watched.publish([(stream, b"{}")])
    for _ in range(SELDOM):
        watch.look()
    assert not gate.closed
    watch.look()
    assert gate.closed
    watched.ack(stream, "Teller", [each.id for each in watched.read(stream, "Teller", "me", 1, 0.0)])
    watch.look()
    assert not gate.closed


@pytest.mark.parametrize("stream", ["account", "account:command"])
def test_what_a_paused_group_leaves_keeps_the_gate_open(watched: Watched, stream: str) -> None:
    gate = LaneGate()
    groups = [("account", "Teller")], [("account:command", "Teller")]
    watch = BacklogWatch(watched, gate, gate.slot(0), *groups, paused=lambda group: group == "Teller")
    watched.publish([(stream, b"{}")])
    for _ in range(2 * SELDOM):
        gate.wanted = True
        watch.look()
    assert not gate.closed
