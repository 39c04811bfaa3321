"""The relays against a model: what is committed is published, in order, and nothing else is.

Transactions end in any order and late, the broker is away, loses its reply or refuses a row, relays die between
publishing and marking, and meet while they are at it. The model says for every batch which rows it takes, in which
order, and what is left of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from tests.models.profiles import Profile, compare
from tests.models.world import Killed, Story, World, told

from protean import codec
from protean.deliver.lanes import Lane, Lanes
from protean.deliver.relay import MAX_ATTEMPTS, Relay, RelaySettings
from protean.exceptions import BrokerError, BrokerUnavailableError
from protean.message import NewMessage
from protean.ports.outbox import OutboxRow
from protean.testing.contracts.database_steps import message

LANES = Lanes(enabled=True)
#: What a broker may do with a batch.
MOODS = ["takes it", "is away", "loses the reply", "takes it and the relay dies"]
#: Rows of this category have no handler.
DEAF = "deaf"
MOST_OPEN = 3


@dataclass
class Row:
    """The model of one outbox row. `place`: when it was written, whatever became of its transaction."""

    message: NewMessage
    place: int
    poisoned: bool
    status: str = "pending"
    attempts: int = 0
    due_at: datetime | None = None

    @property
    def lane(self) -> Lane:
        return LANES.lane_of(self.message.priority)

    @property
    def heard(self) -> bool:
        return self.message.category != DEAF


@dataclass
class Open:
    transaction: Any
    rows: list[Row]

    @property
    def streams(self) -> set[str]:
        return {row.message.stream_name for row in self.rows}


class MoodyPublisher:
    """Hands on to the real broker, in the mood it is in. `meanwhile` runs once, before it has answered anything."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.mood = MOODS[0]
        self.meanwhile: Callable[[], None] | None = None
        self.batches: list[list[str]] = []

    def publish(self, entries: Sequence[tuple[str, bytes]], *tally: Any, **options: Any) -> Any:
        self.batches.append([codec.decode(payload).id for _, payload in entries])
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        if self.mood == "is away":
            raise BrokerUnavailableError("nobody there")
        good = [entry for entry in entries if b'"poison":true' not in entry[1].replace(b" ", b"")]
        if len(good) < len(entries):
            self._world.broker.publish(good)
            raise BrokerError("refused")
        if self.mood == "loses the reply":
            self._world.broker.publish(good[: len(good) // 2 + 1])
            raise BrokerUnavailableError("no reply")
        answer = self._world.broker.publish(entries, *tally, **options)
        if self.mood == "takes it and the relay dies":
            raise Killed
        return answer


lanes = st.sampled_from(list(Lane))
priorities = st.sampled_from([-100, -50, -1, 0, 50, 100])
streams = st.sampled_from(["a-1", "a-2", "a-3", "b-1", f"{DEAF}-1"])
writes = st.lists(st.tuples(streams, priorities, st.sampled_from([False] * 9 + [True])), min_size=1, max_size=4)
numbers = st.integers(0, 5)


class Relays(Story):
    """Two relays of each lane over one outbox."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.rows: list[Row] = []
        self.open: list[Open] = []
        self.written = 0
        self.seen: dict[str, int] = {}
        self.told: dict[str, list[str]] = {}

    @initialize()
    @told
    def begin_anew(self) -> None:
        self.world.clear()

    # Writing

    @rule(writes=writes, how=st.sampled_from(["commit", "commit", "rollback"]))
    @told
    def write(self, writes: list[tuple[str, int, bool]], how: str) -> None:
        """A short transaction."""
        if not self.world.concurrent and self.open:
            return  # one writer at a time
        transaction = self.world.database.transaction()
        rows = self._append(transaction, writes)
        if rows:
            getattr(transaction, how)()
            self.rows += rows if how == "commit" else []
        transaction.rollback()

    @precondition(lambda self: self.world.concurrent and len(self.open) < MOST_OPEN)
    @rule(writes=writes)
    @told
    def write_and_wait(self, writes: list[tuple[str, int, bool]]) -> None:
        """A transaction that is in no hurry to commit: its rows have low ids and come late."""
        transaction = self.world.database.transaction()
        rows = self._append(transaction, writes)
        if rows:
            self.open.append(Open(transaction, rows))
        else:
            transaction.rollback()

    @precondition(lambda self: bool(self.open))
    @rule(which=numbers, how=st.sampled_from(["commit", "commit", "rollback"]))
    @told
    def end(self, which: int, how: str) -> None:
        ended = self.open.pop(which % len(self.open))
        getattr(ended.transaction, how)()
        self.rows += ended.rows if how == "commit" else []

    def _append(self, transaction: Any, writes: list[tuple[str, int, bool]]) -> list[Row]:
        """Streams that an open transaction writes to are left out: the aggregate's row would serialise the two."""
        taken = set[str]().union(*(open_.streams for open_ in self.open))
        rows = []
        for stream, priority, poisoned in writes:
            if stream not in taken:
                self.written += 1
                new = message(stream, priority, poison=poisoned)
                rows.append(Row(new, self.written, poisoned and not stream.startswith(DEAF)))
        if rows:
            transaction.log.append([row.message for row in rows], "default")
        return rows

    # Relaying

    @rule(
        lane=lanes,
        limit=st.integers(1, 5),
        mood=st.sampled_from(MOODS),
        meanwhile=st.none() | st.tuples(st.sampled_from(["same lane", "other lane", "end", "write"]), writes),
    )
    @told
    def relay(
        self, lane: Lane, limit: int, mood: str, meanwhile: tuple[str, list[tuple[str, int, bool]]] | None
    ) -> None:
        """One batch of one relay; `meanwhile` is what happens while the broker has it."""

        def happens() -> None:
            if meanwhile is None:
                return
            what, writes = meanwhile
            if what == "same lane":
                assert self._batch(lane, 9, MoodyPublisher(self.world)) is None, "two relays were at one lane"
            elif what == "other lane":
                self._expect(next(other for other in Lane if other is not lane), 9, MOODS[0], lambda: None)
            elif what == "end" and self.open:
                self.end(0, "commit")
            elif what == "write":
                self.write(writes, "commit")

        self._expect(lane, limit, mood, happens)

    @rule(seconds=st.integers(1, 20))
    @told
    def time_passes(self, seconds: int) -> None:
        self.world.clock.passes(seconds)

    def _expect(self, lane: Lane, limit: int, mood: str, meanwhile: Callable[[], None]) -> None:
        """Relay one batch and compare it with the model's."""
        due = [row for row in self.rows if row.lane is lane and self._is_due(row)]
        claimed = sorted(due, key=lambda row: (-row.message.priority, row.place))[:limit]
        sent = [row.message.id for row in claimed if row.heard]
        publisher = MoodyPublisher(self.world)
        publisher.mood, publisher.meanwhile = mood, meanwhile
        try:
            settled = self._batch(lane, limit, publisher)
        except (BrokerUnavailableError, Killed):
            assert mood != MOODS[0]
        else:
            assert settled == len(claimed)
            known = mood == MOODS[0] or (mood != "is away" and all(row.poisoned for row in claimed if row.heard))
            assert known or not sent, "a relay that cannot know has marked its rows"
            for row in claimed:
                self._mark(row)
        assert publisher.batches[:1] == ([sent] if sent else [])
        assert all(batch == [one] for batch, one in zip(publisher.batches[1:], sent, strict=False))

    def _is_due(self, row: Row) -> bool:
        return row.status == "pending" and (row.due_at is None or row.due_at <= self.world.clock.moment)

    def _mark(self, row: Row) -> None:
        if not row.poisoned:
            row.status = "published"
            return
        row.attempts += 1
        if row.attempts >= MAX_ATTEMPTS:
            row.status = "failed"
        row.due_at = self.world.clock.moment + timedelta(seconds=2.0 ** (row.attempts - 1))

    def _batch(self, lane: Lane, limit: int, publisher: MoodyPublisher) -> int | None:
        def route(row: OutboxRow) -> str | None:
            return None if row.category == DEAF else LANES.stream(row.category, lane)

        relay = Relay(
            self.world.database.outbox, publisher, LANES.claim("default", lane), route, settings=RelaySettings(limit)
        )
        return relay.publish_batch(limit)

    # What must be true

    @invariant()
    @told
    def the_outbox_says_what_the_model_says(self) -> None:
        counts: dict[str, int] = {}
        for count in self.world.database.outbox.count():
            counts[count.status] = counts.get(count.status, 0) + count.rows
        expected = [row.status for row in self.rows]
        assert counts == {status: expected.count(status) for status in set(expected)}

    @invariant()
    @told
    def nothing_is_published_that_was_not_committed(self) -> None:
        committed = {row.message.id: row for row in self.rows}
        for stream, lane in self._streams():
            for published in self._news(stream):
                row = committed[published.id]
                assert (row.lane, row.message.category) == (lane, stream.partition(":")[0])
                assert not row.poisoned

    def _streams(self) -> list[tuple[str, Lane]]:
        return [(LANES.stream(category, lane), lane) for category in ("a", "b", DEAF) for lane in Lane]

    def _news(self, stream: str) -> list[Any]:
        """What was published since the last look; remembered in `told`."""
        entries = self.world.broker.entries(stream, str(self.seen.get(stream, "-")), 10_000)
        if entries:
            self.seen[stream] = entries[-1][0]
        news = [codec.decode(fields["data"]) for _, fields in entries]
        self.told.setdefault(stream, []).extend(message.id for message in news)
        return news

    def settle(self) -> None:
        """Everything committed is published in the end, each aggregate's in order; what is refused is given up."""
        while self.open:
            self.end(0, "commit")
        for _ in range(MAX_ATTEMPTS + 1):
            for lane in Lane:
                while any(row.lane is lane and self._is_due(row) for row in self.rows):
                    self._expect(lane, 3, MOODS[0], lambda: None)
            self.world.clock.passes(40)
        assert {row.status for row in self.rows} <= {"published", "failed"}
        assert all((row.status == "failed") == row.poisoned for row in self.rows)
        self.nothing_is_published_that_was_not_committed()
        for stream, lane in self._streams():
            first = list(dict.fromkeys(self.told.get(stream, [])))
            mine = [row for row in self.rows if row.lane is lane and row.heard and not row.poisoned]
            mine = [row for row in mine if LANES.stream(row.message.category, lane) == stream]
            assert sorted(first) == sorted(row.message.id for row in mine)
            for one in {(row.message.stream_name, row.message.priority) for row in mine}:
                of_one = [row for row in mine if (row.message.stream_name, row.message.priority) == one]
                in_order = [row.message.id for row in sorted(of_one, key=lambda row: row.place)]
                assert [id_ for id_ in first if id_ in in_order] == in_order


def test_the_relays_publish_what_is_committed_in_order_and_nothing_else(world: World, profile: Profile) -> None:
    examples = 20 if world.concurrent else 60
    compare(Relays, world, profile.course(examples, 30))
