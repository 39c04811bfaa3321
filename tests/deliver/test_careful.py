"""Being careful with what others died with, and with what may be others' by now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from protean.adapters.memory.broker import MemoryBroker
from protean.deliver import subscription as module
from protean.deliver.activity import State
from protean.deliver.lanes import Lane
from protean.deliver.subscription import CAREFUL_AFTER, LaneRoute, Subscription
from protean.exceptions import DatabaseUnavailableError
from protean.ports.broker import Entry
from protean.ports.handling import Delivery, Outcome, Verdict

STREAM, GROUP = "account", "Ledger"


class CountingBroker(MemoryBroker):
    """`deliveries`: how often claimed entries are said to have been in somebody's hands."""

    deliveries = 1

    def claim(self, stream: str, group: str, dead: str, consumer: str, count: int) -> list[Entry]:
        claimed = super().claim(stream, group, dead, consumer, count)
        return [replace(entry, deliveries=self.deliveries) for entry in claimed]


@dataclass
class Served:
    """One lane served in the background, and what was handed over, call by call."""

    broker: CountingBroker
    subscription: Subscription
    calls: list[list[str]] = field(default_factory=list)
    handles: Callable[[], None] = lambda: None

    def handed(self) -> list[str]:
        return [entry for call in self.calls for entry in call]


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    monkeypatch.setattr(module, "RECLAIM_INTERVAL", 0.02)
    monkeypatch.setattr(module, "READ_BLOCK", 0.02)
    stopping, threads = threading.Event(), list[threading.Thread]()

    def start(broker: CountingBroker | None = None, **options: Any) -> Served:
        broker = broker or CountingBroker()
        broker.ensure_group(STREAM, GROUP)
        broker.beat("me", 60.0)

        def execute(deliveries: Sequence[Delivery], *, grouped: bool, go_on: Callable[[], bool]) -> list[Outcome]:
            served.handles()
            served.calls.append([delivery.entry_id for delivery in deliveries])
            return [Outcome(Verdict.HANDLED, "m", "Opened") for _ in deliveries]

        route = LaneRoute(GROUP, STREAM, Lane.BACKFILL)
        options = {"bury": lambda _: None, "bereave": lambda _: None, **options}
        one = Subscription(route, broker, "me", execute, **options)
        served = Served(broker, one)
        threads.append(threading.Thread(target=one.run, args=[stopping]))
        threads[-1].start()
        return served

    yield start
    stopping.set()
    for thread in threads:
        thread.join(10)


def left_behind(broker: MemoryBroker, count: int) -> list[str]:
    broker.ensure_group(STREAM, GROUP)
    broker.publish([(STREAM, b"{}")] * count)
    return [entry.id for entry in broker.read(STREAM, GROUP, "dead", count, 0.0)]


def wait_until(done: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if done():
            return
        pause.wait(0.005)
    raise AssertionError("waited in vain")


def test_what_two_processes_died_with_is_handed_over_one_by_one_and_the_rest_together_again(
    lane: Callable[..., Served],
) -> None:
    broker = CountingBroker()
    broker.deliveries = CAREFUL_AFTER
    entries = left_behind(broker, 4)
    served = lane(broker)
    wait_until(lambda: len(served.handed()) == 4)
    assert served.calls == [[entry] for entry in entries]

    served.calls.clear()
    broker.publish([(STREAM, b"{}")] * 3)
    wait_until(lambda: len(served.handed()) == 3)
    assert served.calls[0] != []
    assert len(served.calls) < 3


def test_what_one_process_died_with_is_handed_over_together(lane: Callable[..., Served]) -> None:
    broker = CountingBroker()
    entries = left_behind(broker, 4)
    served = lane(broker)
    wait_until(lambda: len(served.handed()) == 4)
    assert served.calls == [entries]


def test_who_is_not_heard_itself_takes_nothing_over_from_whoever_has_read_lately(lane: Callable[..., Served]) -> None:
    broker, heard = CountingBroker(), threading.Event()
    entries = left_behind(broker, 2)
    served = lane(broker, heard=heard.is_set)
    broker.publish([(STREAM, b"{}")])
    wait_until(lambda: len(served.handed()) == 1)
    threading.Event().wait(0.2)
    assert not set(entries) & set(served.handed())

    heard.set()
    wait_until(lambda: len(served.handed()) == 3)


def test_who_is_not_heard_takes_over_from_the_silent_and_ends_nobodys_sessions(
    lane: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_AFTER", 0.3)
    broker, ended = CountingBroker(), list[str]()
    left_behind(broker, 2)
    served = lane(broker, heard=lambda: False, bereave=ended.append)
    wait_until(lambda: len(served.handed()) == 2)
    assert ended == []


def test_after_looking_anew_nothing_is_handed_over_that_others_have_by_now(lane: Callable[..., Served]) -> None:
    broker = CountingBroker()
    served = lane(broker)
    frozen, thaws = threading.Event(), threading.Event()

    def freezes() -> None:
        if not frozen.is_set():
            frozen.set()
            thaws.wait(10)
            raise DatabaseUnavailableError("the session was ended")

    served.handles = freezes
    broker.publish([(STREAM, b"{}")] * 5)
    assert frozen.wait(10)
    first = [entry.id for entry in broker.pending(STREAM, GROUP, "me", "0", 10)]
    broker._beats.pop("me")
    theirs = [entry.id for entry in broker.claim(STREAM, GROUP, "me", "heir", 3)]
    broker.beat("me", 60.0)
    served.subscription.look_anew()
    thaws.set()
    wait_until(lambda: not broker.pending(STREAM, GROUP, "me", "0", 10))
    assert served.handed() == [entry for entry in first if entry not in theirs]
    assert [entry.id for entry in broker.pending(STREAM, GROUP, "heir", "0", 10)] == theirs


def test_it_says_what_it_is_at(lane: Callable[..., Served]) -> None:
    served = lane()
    assert served.subscription.activity.state is State.IDLE
    busy, done, down = threading.Event(), threading.Event(), threading.Event()
    down.set()

    def handles() -> None:
        if down.is_set():
            raise DatabaseUnavailableError("it is down")
        busy.set()
        done.wait(10)

    served.handles = handles
    served.broker.publish([(STREAM, b"{}")])
    wait_until(lambda: served.subscription.activity.state is State.WAITING)
    assert served.subscription.activity.detail == "waits for the database: it is down"

    down.clear()
    assert busy.wait(10)
    wait_until(lambda: served.subscription.activity.state is State.WORKING)
    assert served.subscription.activity.detail == "1 message in hand"

    done.set()
    wait_until(lambda: served.subscription.activity.state is State.IDLE)
