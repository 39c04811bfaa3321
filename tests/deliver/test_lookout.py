"""What a broker has counted tells, also while nothing is published, whether it still has all it was given."""

from __future__ import annotations

import threading

import pytest

from protean.adapters.memory.broker import MemoryBroker
from protean.adapters.memory.database import MemoryDatabase
from protean.deliver import lookout
from protean.deliver.lookout import Lookout
from protean.deliver.reconciling import Reconciler
from protean.exceptions import BrokerUnavailableError
from protean.ports.outbox import Claim
from protean.ports.recovery import Interest
from protean.testing.contracts.database_steps import append, message

MAILER = Interest("Mailer", False, ("customer",), ("CustomerRegistered",))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "SETTLE", 0.0)


class Place:
    """A lane to which one batch of two messages was published, and nobody has handled it."""

    def __init__(self) -> None:
        self.database, self.broker = MemoryDatabase(), MemoryBroker()
        self.database.recovery.open_lanes("default", ["primary"])
        self.database.recovery.register("default", [MAILER])
        append(self.database, message(), message())
        with self.database.outbox.claim(Claim("default", "primary"), 10) as batch:
            assert batch is not None
            count = self.broker.publish([("customer", b"{}")] * 2, batch.tally)
            batch.published([row.id for row in batch.rows], count)
        recovery = self.database.recovery
        reconciler = Reconciler(recovery, self.broker, "default", [MAILER], {("customer", "Mailer")})
        self.lookout = Lookout(recovery, self.broker, "default", reconciler)

    def look(self) -> bool:
        return self.lookout.look(threading.Event())

    def pending(self) -> int:
        return sum(count.rows for count in self.database.outbox.count() if count.status == "pending")


def test_a_broker_that_has_everything_is_left_alone() -> None:
    place = Place()
    assert not place.look()
    assert place.pending() == 0


def test_a_broker_that_has_nothing_is_given_it_again_once() -> None:
    place = Place()
    place.broker.flush("")
    assert place.look()
    assert place.pending() == 2
    assert [group.name for group in place.broker.stream("customer").groups] == ["Mailer"]
    assert not place.look()
    assert place.pending() == 2


def test_what_is_published_after_the_loss_belongs_to_a_new_count() -> None:
    place = Place()
    (before,) = place.database.recovery.lanes("default")
    place.broker.flush("")
    place.look()
    (after,) = place.database.recovery.lanes("default")
    assert after.tally.key != before.tally.key
    assert (after.published, after.lost_at) == (0, None)


def test_a_broker_with_an_old_count_is_told_to_forget_it() -> None:
    place = Place()
    (before,) = place.database.recovery.lanes("default")
    place.database.recovery.lose("default", "primary", "a stream was gone")
    assert place.look()
    assert place.broker.tallies([before.tally.key]) == [0]


def test_what_another_process_began_and_left_is_ended() -> None:
    place = Place()
    place.broker.flush("")
    place.database.recovery.lose("default", "primary", "a stream was gone")
    assert place.database.recovery.begin("default", [MAILER]) is not None
    assert place.look()
    assert place.pending() == 2
    assert not place.look()


def test_while_the_broker_is_away_nothing_is_known_and_nothing_is_noted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lookout, "LOOK_INTERVAL", 0.01)
    place, asked, stopping = Place(), [], threading.Event()

    def away(keys: list[str]) -> list[int]:
        asked.append(keys)
        if len(asked) == 5:
            stopping.set()
        raise BrokerUnavailableError("nobody there")

    monkeypatch.setattr(place.broker, "tallies", away)
    place.lookout.run(stopping)
    assert caplog.text.count("is not known now") == 1
    (lane,) = place.database.recovery.lanes("default")
    assert lane.lost_at is None


def test_a_loss_that_cannot_be_made_good_yet_is_called_a_loss(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lookout, "LOOK_INTERVAL", 0.01)
    place, tried, stopping = Place(), [], threading.Event()

    def full(stream: str, group: str) -> bool:
        tried.append((stream, group))
        if len(tried) == 5:
            stopping.set()
        raise BrokerUnavailableError("out of memory")

    place.broker.flush("")
    monkeypatch.setattr(place.broker, "ensure_group", full)
    place.lookout.run(stopping)
    assert caplog.text.count("What the broker default has lost is made good later: out of memory") == 1
    assert "is not known" not in caplog.text
    assert place.lookout.rounds.last is not None
    assert (place.lookout.rounds.last.result, place.lookout.rounds.last.failures) == (
        "failed: BrokerUnavailableError",
        5,
    )
