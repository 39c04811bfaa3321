"""The broker contract: signs of life, taking over, and bells."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from uuid import uuid4

from protean.ports.broker import Broker
from protean.testing.contracts.broker_steps import (
    PATIENCE,
    assert_all_done,
    eventually,
    fill,
    group_of,
    lively,
)


class PresenceContract:
    """Only the dead are inherited from, in order; bells wake."""

    # Presence

    def test_a_consumer_lives_for_as_long_as_it_said(self, broker: Broker, second_broker: Broker) -> None:
        consumer = f"consumer-{uuid4().hex}"
        assert consumer not in broker.living()
        broker.beat(consumer, 0.3)
        assert consumer in second_broker.living()
        time.sleep(0.2)
        broker.beat(consumer, 0.3)
        time.sleep(0.2)
        assert consumer in second_broker.living()
        time.sleep(0.3)
        assert consumer not in second_broker.living()

    def test_absent_are_the_consumers_without_a_beat(self, broker: Broker, stream: str) -> None:
        alive, dead = lively(), lively()
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 2)
        broker.beat(alive, PATIENCE)
        for consumer in [alive, dead]:
            broker.read(stream, "Group", consumer, 1, 0)

        assert broker.absent(stream, "Group") == [dead]
        assert broker.absent(stream, "Group", asking=dead) == []

    def test_silent_are_those_of_the_absent_that_have_not_read_for_so_long(self, broker: Broker, stream: str) -> None:
        alive, dead, slow = lively(), lively(), lively()
        broker.ensure_group(stream, "Group")
        broker.beat(alive, PATIENCE)
        for consumer in [alive, dead]:
            broker.read(stream, "Group", consumer, 1, 0)
        time.sleep(0.5)
        broker.read(stream, "Group", slow, 1, 0)

        assert broker.silent(stream, "Group", 0.4) == [dead]
        assert sorted(broker.absent(stream, "Group")) == sorted([dead, slow])

    def test_what_a_dead_consumer_had_is_claimed_in_order(
        self, broker: Broker, second_broker: Broker, stream: str
    ) -> None:
        dead = lively()
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 7)
        left = broker.read(stream, "Group", dead, 5, 0)

        first = second_broker.claim(stream, "Group", dead, "heir", 3)
        assert first == left[:3]
        assert dead in second_broker.absent(stream, "Group")
        rest = second_broker.claim(stream, "Group", dead, "heir", 3)
        assert rest == left[3:]

        assert second_broker.pending(stream, "Group", "heir", "0", 10) == left
        assert group_of(broker, stream, "Group").consumers == ("heir",)
        assert len(second_broker.read(stream, "Group", "heir", 10, 0)) == 2

    def test_a_living_consumer_is_not_robbed_however_slow(self, broker: Broker, stream: str) -> None:
        slow = lively()
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 2)
        broker.beat(slow, PATIENCE)
        held = broker.read(stream, "Group", slow, 2, 0)
        time.sleep(0.1)

        assert broker.claim(stream, "Group", slow, "heir", 10) == []
        assert broker.pending(stream, "Group", slow, "0", 10) == held

    def test_a_consumer_that_beats_again_keeps_the_rest(self, broker: Broker, stream: str) -> None:
        thawed = lively()
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 4)
        held = broker.read(stream, "Group", thawed, 4, 0)
        broker.claim(stream, "Group", thawed, "heir", 2)
        broker.beat(thawed, PATIENCE)

        assert broker.claim(stream, "Group", thawed, "heir", 2) == []
        assert broker.pending(stream, "Group", thawed, "0", 10) == held[2:]

    def test_a_dead_consumer_with_nothing_left_is_removed(self, broker: Broker, stream: str) -> None:
        dead = lively()
        broker.ensure_group(stream, "Group")
        broker.read(stream, "Group", dead, 1, 0.01)

        assert broker.claim(stream, "Group", dead, "heir", 10) == []
        assert dead not in group_of(broker, stream, "Group").consumers

    def test_claimed_entries_are_trimmed_when_acknowledged(self, broker: Broker, stream: str) -> None:
        dead = lively()
        broker.ensure_group(stream, "Group")
        fill(broker, stream, 3)
        broker.read(stream, "Group", dead, 3, 0)
        claimed = broker.claim(stream, "Group", dead, "heir", 10)
        broker.ack(stream, "Group", [entry.id for entry in claimed])

        assert_all_done(broker, stream)

    def test_leaving_takes_the_consumer_along_unless_it_holds_something(self, broker: Broker, stream: str) -> None:
        consumer = lively()
        for group in ["Done", "Holding"]:
            broker.ensure_group(stream, group)
        fill(broker, stream, 1)
        broker.beat(consumer, PATIENCE)
        (entry,) = broker.read(stream, "Done", consumer, 1, 0)
        broker.ack(stream, "Done", [entry.id])
        held = broker.read(stream, "Holding", consumer, 1, 0)

        broker.leave(consumer, [(stream, "Done"), (stream, "Holding"), (stream, "missing"), ("missing", "x")])

        assert consumer not in broker.living()
        assert group_of(broker, stream, "Done").consumers == ()
        assert group_of(broker, stream, "Holding").consumers == (consumer,)
        assert broker.claim(stream, "Holding", consumer, "heir", 10) == held

    def test_a_beat_tells_whether_the_consumer_lived_on_and_keeps_what_was_said_first(
        self, broker: Broker, second_broker: Broker
    ) -> None:
        consumer = lively()
        assert broker.beat(consumer, 0.2, "first") is False
        assert broker.beat(consumer, 0.2, "second") is True
        assert second_broker.signs()[consumer] == "first"
        time.sleep(0.3)
        assert consumer not in second_broker.signs()
        assert broker.beat(consumer, PATIENCE, "third") is False
        assert second_broker.signs()[consumer] == "third"

    # Bells

    def test_a_bell_wakes_its_listener(self, broker: Broker, second_broker: Broker) -> None:
        bell, other = f"bell-{uuid4().hex}", f"bell-{uuid4().hex}"
        woken: list[str] = []
        stop = second_broker.listen([bell, other], woken.append)
        eventually(lambda: sorted(woken) == sorted([bell, other]))  # as after any connecting
        woken.clear()

        broker.ring(bell)
        eventually(lambda: woken == [bell])
        stop()
        broker.ring(bell)
        time.sleep(0.1)
        assert woken == [bell]

    def test_a_bell_wakes_every_listener(self, broker: Broker, second_broker: Broker) -> None:
        bell = f"bell-{uuid4().hex}"
        wakes: list[list[str]] = [[], [], []]
        stops = [
            client.listen([bell], woken.append)
            for client, woken in zip([broker, broker, second_broker], wakes, strict=True)
        ]
        eventually(lambda: all(wakes))
        for woken in wakes:
            woken.clear()

        broker.ring(bell)
        eventually(lambda: all(wakes))
        for stop in stops:
            stop()

    def test_a_listener_survives_what_it_wakes(self, broker: Broker) -> None:
        bell, again = f"bell-{uuid4().hex}", Event()

        def woken(_: str) -> None:
            if again.is_set():
                recovered.set()
            again.set()
            raise ValueError("on purpose")

        recovered = Event()
        stop = broker.listen([bell], woken)
        assert again.wait(PATIENCE)
        broker.ring(bell)
        assert recovered.wait(PATIENCE)
        stop()

    def test_a_listener_may_stop_itself(self, broker: Broker) -> None:
        stopped = Event()
        stop: Callable[[], None]

        def woken(_: str) -> None:
            ready.wait(PATIENCE)
            stop()
            stopped.set()

        ready = Event()
        stop = broker.listen([f"bell-{uuid4().hex}"], woken)
        ready.set()
        assert stopped.wait(PATIENCE)

    def test_ringing_where_nobody_listens_is_fine(self, broker: Broker) -> None:
        broker.ring(f"bell-{uuid4().hex}")
