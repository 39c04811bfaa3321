"""Lanes and positions against a model: whatever is delivered when, and to whom, what comes out is the same.

Messages travel through real relays and streams, or are thrown onto them in any order, twice, or not at all.
Consumers read in groups, die with entries in hand, inside a handler and before they acknowledge, two at a time.
After every step each projection must show a beginning of its aggregate's history, nothing twice and nothing out of
turn; in the end all of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from tests.models.profiles import Profile, compare
from tests.models.world import HANDLERS, Killed, Story, World, told

from protean import codec
from protean.deliver.lanes import Lane
from protean.deliver.relay import Relay, RelaySettings
from protean.deliver.subscription import LaneRoute, Subscription, SubscriptionSettings
from protean.handle.executor import Executor
from protean.handle.retrier import Retrier
from protean.handle.retry import RetryPolicy
from protean.ports.handling import Delivery, Outcome
from protean.priority import Priority, processing_priority

ACCOUNTS = ["a", "b", "c"]
#: Nothing is given up here: dead letters have a model of their own.
PATIENT = RetryPolicy(max_retries=1_000_000, base_delay=1.0, max_delay=8.0, jitter=0.0)
#: Where a consumer may die.
DEATHS = ["with entries in hand", "inside a handler", "before it acknowledges"]
#: Longer than any heartbeat, lease or backoff.
LONG = 100
FOREVER = 3_600.0


class OnePass:
    """The real broker for a subscription, which ends its run when there is nothing more to read."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.stopping = threading.Event()

    def __getattr__(self, ability: str) -> Any:
        return getattr(self._world.broker, ability)

    def read(self, *arguments: Any, **options: Any) -> Any:
        entries = self._world.broker.read(*arguments, **options)
        if not entries:
            self.stopping.set()
        return entries


@dataclass
class Seat:
    """One subscription of one consumer. It ends its run after `turns` hand-overs, and dies as it is told."""

    broker: OnePass
    executor: Executor
    turns: int = 0
    dies: str | None = None
    subscription: Any = None

    def execute(self, deliveries: Sequence[Delivery], *, grouped: bool, go_on: Callable[[], bool]) -> list[Outcome]:
        if self.dies == "with entries in hand":
            raise Killed
        outcomes = self.executor.execute(deliveries, grouped=grouped, go_on=go_on)
        if self.dies == "before it acknowledges":
            raise Killed
        self.turns -= 1
        if self.turns <= 0:
            self.broker.stopping.set()
        return outcomes


@dataclass
class Consumer:
    name: str
    seats: dict[tuple[str, Lane], Seat] = field(default_factory=dict)


lanes = st.sampled_from(list(Lane))
handlers = st.sampled_from(list(HANDLERS))
consumers = st.integers(0, 2)
deaths = st.sampled_from([None] * 3 + DEATHS)
turns = st.integers(1, 4)
changes = st.lists(st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from([0, 1, 10])), min_size=1, max_size=4)


class Deliveries(Story):
    """Three consumers in the group of each handler, on both lanes."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.histories: dict[str, list[int]] = {name: [] for name in ACCOUNTS}  # amounts; 0 is a Noted
        self.lost: set[str] = set()
        self.named = 0
        self.people: list[Consumer] = []

    @initialize(
        amounts=st.lists(st.sampled_from([0, 1, 10]), max_size=6),
        broken=st.sets(st.tuples(st.sampled_from(ACCOUNTS), st.integers(0, 5)), max_size=3),
    )
    @told
    def begin_anew(self, amounts: list[int], broken: set[tuple[str, int]]) -> None:
        self.world.clear()
        self.world.broken |= broken
        for account in ACCOUNTS:
            self.change([(account, amount) for amount in amounts], Priority.LOW)
        for handler in HANDLERS:
            for lane in Lane:
                self.world.broker.ensure_group(self._stream(lane), handler)
        self.people = [self._consumer() for _ in range(3)]

    # What users do

    @rule(changes=changes, priority=st.sampled_from([Priority.NORMAL, Priority.LOW]))
    @told
    def change(self, changes: list[tuple[str, int]], priority: Priority) -> None:
        """Commands, one transaction each; an amount of 0 is a note."""
        for account, amount in changes:
            with processing_priority(priority):
                self.world.change(account, amount)
            self.histories[account].append(amount)

    # What may happen to deliveries

    @rule(lane=lanes, limit=st.integers(1, 9), what=st.sampled_from(["marks", "marks", "dies", "publishes nothing"]))
    @told
    def relay(self, lane: Lane, limit: int, what: str) -> None:
        """A batch is published and marked, or published twice, or, as if the broker had lost it, not at all."""

        def route(row: Any) -> str | None:
            if what == "publishes nothing":
                self.lost.add(row.message_id)
                return None
            return self._stream(lane)

        relay = self._relay(lane, limit, route)
        relay.publish_batch(limit)
        if what == "dies":  # and its successor publishes what it had not marked
            for row_stream, payload in self._copies(limit):
                self.world.broker.publish([(row_stream, payload)])

    @rule(picks=st.lists(st.tuples(st.sampled_from(ACCOUNTS), st.integers(0, 20), lanes), min_size=1, max_size=6))
    @told
    def copies_arrive(self, picks: list[tuple[str, int, Lane]]) -> None:
        """Any messages, in any order, on any lane."""
        for account, number, lane in picks:
            log = self.world.log(account)
            if log:
                payload = codec.encode(log[number % len(log)])
                self.world.broker.publish([(self._stream(lane), payload)])

    # What consumers do

    @rule(who=consumers, handler=handlers, lane=lanes, turns=turns, dies=deaths)
    @told
    def serve(self, who: int, handler: str, lane: Lane, turns: int, dies: str | None) -> None:
        self._serve(who, handler, lane, turns, dies)

    @rule(handler=handlers, lanes=st.tuples(lanes, lanes), turns=turns)
    @told
    def two_at_a_time(self, handler: str, lanes: tuple[Lane, Lane], turns: int) -> None:
        """Two consumers of one group, each on a thread of its own."""
        errors: list[BaseException] = []

        def serving(who: int, lane: Lane) -> None:
            try:
                with self.world.domain.domain_context():
                    self._serve(who, handler, lane, turns, None)
            except BaseException as error:  # noqa: BLE001  # raised again below
                errors.append(error)

        threads = [threading.Thread(target=serving, args=pair) for pair in enumerate(lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    @rule(who=consumers)
    @told
    def die_idle(self, who: int) -> None:
        """A process ends between two steps, with whatever it had read."""
        self._bury(who)

    @rule(account=st.sampled_from(ACCOUNTS), number=st.integers(0, 12), breaks=st.booleans())
    @told
    def handlers_change(self, account: str, number: int, breaks: bool) -> None:
        """From now on an event cannot, or can again, be handled."""
        (self.world.broken.add if breaks else self.world.broken.discard)((account, number))

    @rule(lane=lanes, seconds=st.sampled_from([0, 2, LONG]))
    @told
    def retry(self, lane: Lane, seconds: int) -> None:
        self.world.clock.passes(seconds)
        while self._retrier(lane).retry_next(threading.Event()) and seconds == LONG:
            pass

    # What must be true

    @invariant()
    @told
    def every_projection_shows_a_beginning_of_its_history(self) -> None:
        for row in self.world.rows(self.world.Sums):
            history = self.histories[row.account_id]
            assert row.applied == list(range(len(row.applied)))
            assert row.total == sum(history[: len(row.applied)])
            assert len(row.applied) <= len(history)
        for row in self.world.rows(self.world.Notes):
            notes = self._notes(row.account_id)
            assert row.numbers == notes[: len(row.numbers)]
        for row in self.world.rows(self.world.Receipt):
            account, _, number = row.receipt_id.partition(":")
            assert row.times == 1
            assert int(number) < len(self.histories[account])

    def settle(self) -> None:
        """Heal everything and let it finish; what the broker lost on purpose is delivered again."""
        self.world.broken.clear()
        for lane in Lane:
            while self._relay(lane, LONG, lambda row, lane=lane: self._stream(lane)).publish_batch(LONG):
                pass
        again = [message for account in ACCOUNTS for message in self.world.log(account) if message.id in self.lost]
        self.world.broker.publish([(self._stream(Lane.PRIMARY), codec.encode(message)) for message in again])
        self._bury(0)
        for _ in range(LONG):
            for handler in HANDLERS:
                for lane in Lane:
                    for who in range(len(self.people)):
                        self._serve(who, handler, lane, LONG, None)
            self.world.clock.passes(LONG)
            for lane in Lane:
                while self._retrier(lane).retry_next(threading.Event()):
                    pass
            if not self._owed():
                break
        assert self._owed() == {}
        self.every_projection_shows_a_beginning_of_its_history()
        assert {row.account_id: row.applied for row in self.world.rows(self.world.Sums)} == {
            name: list(range(len(history))) for name, history in self.histories.items() if history
        }
        assert {row.account_id: row.numbers for row in self.world.rows(self.world.Notes)} == {
            name: self._notes(name) for name in ACCOUNTS if self._notes(name)
        }
        assert {row.receipt_id for row in self.world.rows(self.world.Receipt)} == {
            f"{name}:{number}" for name, history in self.histories.items() for number in range(len(history))
        }

    def _owed(self) -> dict[str, int]:
        """What is still to be done, by where it lies; nothing, when all is well."""
        owed = {"failures": len(self.world.failures())}
        for lane in Lane:
            state = self.world.broker.stream(self._stream(lane))
            owed[f"length of {lane}"] = state.length
            owed |= {f"{group.name} on {lane}": group.lag + group.pending for group in state.groups}
        return {where: count for where, count in owed.items() if count}

    # The steps' own means

    def _stream(self, lane: Lane) -> str:
        return self.world.domain.lanes.stream("account", lane)

    def _notes(self, account: str) -> list[int]:
        return [number for number, amount in enumerate(self.histories[account]) if not amount]

    def _relay(self, lane: Lane, limit: int, route: Callable[[Any], str | None]) -> Relay:
        claim = self.world.domain.lanes.claim("default", lane)
        return Relay(self.world.database.outbox, self.world.broker, claim, route, settings=RelaySettings(limit))

    def _copies(self, count: int) -> list[tuple[str, bytes]]:
        """The newest entries of the lanes' streams once more."""
        copies = []
        for lane in Lane:
            entries = self.world.broker.entries(self._stream(lane), "-", 100_000)[-count:]
            copies += [(self._stream(lane), fields["data"]) for _, fields in entries]
        return copies

    def _consumer(self) -> Consumer:
        self.named += 1
        consumer = Consumer(f"consumer-{self.named}")
        self.world.broker.beat(consumer.name, FOREVER)
        return consumer

    def _bury(self, who: int) -> None:
        """Its sign of life goes, its entries stay; another process takes its place."""
        self.world.broker.leave(self.people[who].name, [])
        self.people[who] = self._consumer()

    def _serve(self, who: int, handler: str, lane: Lane, turns: int, dies: str | None) -> None:
        consumer = self.people[who]
        seat = consumer.seats.get((handler, lane)) or self._seat(consumer, handler, lane)
        seat.turns, seat.dies = turns, dies
        seat.broker.stopping.clear()
        if dies == "inside a handler":
            self.world.inside = _die
        try:
            seat.subscription.run(seat.broker.stopping)
        except Killed:
            self._bury(who)
        finally:
            self.world.inside = lambda account, number: None

    def _seat(self, consumer: Consumer, handler: str, lane: Lane) -> Seat:
        seat = Seat(OnePass(self.world), self.world.executor(handler, PATIENT))
        seat.subscription = Subscription(
            LaneRoute(handler, self._stream(lane), lane),
            seat.broker,
            consumer.name,
            seat.execute,
            bury=lambda failure: None,
            bereave=lambda dead: None,
            settings=SubscriptionSettings(batch=4),
        )
        consumer.seats[handler, lane] = seat
        return seat

    def _retrier(self, lane: Lane) -> Retrier:
        executors = {name: self.world.executor(name, PATIENT) for name in HANDLERS}
        return Retrier(self.world.database, lane, executors, lambda failure: None)


def _die(account: str, number: int) -> None:
    raise Killed


def test_whatever_is_delivered_every_version_is_applied_once_and_in_order(world: World, profile: Profile) -> None:
    examples = 15 if world.concurrent else 40
    compare(Deliveries, world, profile.course(examples, 30))
