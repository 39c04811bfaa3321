"""A broker that loses what it was given costs delay, never messages: all is handled, and its effect is there once.

The handlers are held up while messages are committed, so that both lanes have a backlog, unread and in hand, when it
happens.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from redis import Redis
from tests.faults.conftest import configured, tried
from tests.faults.lossy_broker import Fault, LossyBroker
from tests.faults.oracle import Ledger, Oracle
from tests.support.things import Things, build_things

from protean.deliver import housekeeping, lookout
from protean.deliver.floors import FloorKeeper
from protean.priority import Priority, processing_priority
from protean.server.engine import Engine

#: Seconds that shared machines get for anything.
PATIENCE = 45.0
PROJECTIONS = ("everything", "changes", "letter")
HANDLERS = ("EverythingProjector", "ChangesProjector", "Postman")


@dataclass
class Shop:
    """Engines in this process over a broker of their own, and clients that write to both lanes."""

    config: dict[str, Any]
    broker: LossyBroker
    things: Things
    database_url: str
    oracle: Oracle
    ledger: Ledger = field(default_factory=Ledger)
    engines: list[Engine] = field(default_factory=list)
    made: int = 0
    production_waits: bool = False

    def start(self, engines: int = 1) -> None:
        for _ in range(engines):
            engine = Engine(build_things(self.config).domain)
            engine.start()
            self.engines.append(engine)

    def stop(self) -> None:
        for engine in self.engines:
            assert engine.finish()
        self.engines.clear()

    def work(self, things: int = 20) -> None:
        """New things, each changed in both lanes."""
        names = [f"thing-{number}" for number in range(self.made, self.made + things)]
        self.made += things
        for name in names:
            self.ledger.acknowledged[name].append(self.things.make(name))
        for priority in (Priority.LOW, Priority.NORMAL):
            self.change(names, priority)

    def change(self, names: Iterable[str], priority: Priority) -> None:
        with processing_priority(priority):
            for name in names:
                self.ledger.acknowledged[name].append(self.things.change(name, notes=1))

    def pile_up(self) -> None:
        """While handlers are held: work on the streams of both lanes. Backfill first, which waits for production."""
        names = [f"thing-{number}" for number in range(self.made)]
        if not self.production_waits:
            self.change(names, Priority.LOW)
            self.wait_for(lambda: not self.unpublished("true"))
            self.production_waits = True
        self.change(names, Priority.NORMAL)
        self.wait_for(lambda: not self.unpublished("priority >= 0"))

    def unpublished(self, which: str) -> int:
        return self.scalar(f"SELECT count(*) FROM outbox WHERE status <> 'published' AND {which}")

    @contextmanager
    def held(self) -> Iterator[None]:
        """While the block lasts no handler gets anywhere: their tables are locked."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute(f"LOCK TABLE {', '.join(PROJECTIONS)} IN ACCESS EXCLUSIVE MODE".encode())
            yield
        self.production_waits = False

    def settle(self) -> None:
        """Wait until nothing is owed, nothing lost, and everything handled."""
        self.wait_for(
            lambda: not (self.losses() or self.oracle.owed() or self.losses() or self.oracle.violations(self.ledger)),
            lambda: f"{self.losses()} losses, owed {self.oracle.owed()}, {self.oracle.violations(self.ledger)[:5]}",
        )

    def quiet(self) -> None:
        """Wait until nothing is owed and nothing lost."""
        self.wait_for(lambda: not (self.losses() or self.oracle.owed() or self.losses()))

    def losses(self) -> int:
        """How many lanes are known to have lost something, and not yet made good."""
        return self.scalar("SELECT count(*) FROM lanes WHERE lost_at IS NOT NULL")

    def scalar(self, sql: str) -> int:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(sql.encode()).fetchone()
        return int(row[0]) if row else 0

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.database_url) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def wait_for(self, done: Callable[[], bool], complaint: Callable[[], str] = lambda: "in vain") -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, complaint()
            time.sleep(0.05)


@pytest.fixture
def shop(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(lookout, "LOOK_INTERVAL", 0.25)
    monkeypatch.setattr(housekeeping, "SWEEP_INTERVAL", 0.5)
    broker = LossyBroker(tmp_path)
    broker.start()
    config = configured(database_url, broker.url, base_delay=0.05, max_delay=0.2)
    things = build_things(config)
    things.domain.database()
    plain_url = urlsplit(database_url)._replace(scheme="postgresql").geturl()
    shop = Shop(config, broker, things, plain_url, Oracle(things, plain_url, broker.url))
    yield shop
    shop.stop()
    things.domain.close()
    broker.kill()


FAULTS: dict[str, Fault] = {
    "flushed": LossyBroker.flush,
    "swapped for an empty one": LossyBroker.swap,
    "restarted with its file": LossyBroker.restart,
    "rewound": LossyBroker.rewind,
    "production's stream deleted": lambda broker: broker.delete("thing"),
    "both streams deleted": lambda broker: broker.delete("thing", "thing:backfill"),
    "groups destroyed": lambda broker: broker.destroy("thing", *HANDLERS),
    "one group destroyed": lambda broker: broker.destroy("thing:backfill", "Postman"),
    "trimmed by a stranger": lambda broker: broker.trim("thing"),
    "both lanes trimmed": lambda broker: [broker.trim(name) for name in ("thing", "thing:backfill")] and None,
    "read by a stranger": lambda broker: broker.acknowledge_all("thing", "Postman"),
}


@pytest.mark.parametrize("engines", [pytest.param(1, marks=pytest.mark.faults), 2])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_broker_has_lost_is_handled_all_the_same_and_once(shop: Shop, fault: str, engines: int) -> None:
    shop.start(engines)
    shop.work(8)
    shop.settle()
    with shop.held():
        shop.pile_up()
        shop.broker.remember()
        shop.pile_up()
        FAULTS[fault](shop.broker)
        shop.work(3)
    shop.settle()
    shop.work(3)
    shop.settle()


def test_a_loss_while_no_engine_runs_is_found_at_the_next_start(shop: Shop) -> None:
    shop.start()
    shop.work(8)
    shop.settle()
    with shop.held():
        shop.pile_up()
        shop.engines[0].stop()
    shop.stop()
    shop.broker.flush()
    shop.work(5)
    shop.start()
    shop.settle()


def test_a_stream_that_vanished_while_no_engine_ran_is_missed_at_the_start(shop: Shop) -> None:
    shop.start()
    shop.work(8)
    shop.settle()
    with shop.held():
        shop.pile_up()
        shop.engines[0].stop()
    shop.stop()
    shop.broker.delete("thing")
    shop.execute("UPDATE handlers SET registered_at = registered_at - interval '1 hour'")
    shop.start()
    assert shop.losses() == 1
    shop.settle()


def test_an_idle_broker_that_was_flushed_is_noticed_by_its_counts(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.start()
    shop.work(3)
    shop.settle()
    caplog.set_level(logging.INFO)
    shop.broker.flush()
    shop.wait_for(lambda: "is made good: 0 messages" in caplog.text, lambda: caplog.text)
    shop.work(3)
    shop.settle()


def test_a_loss_during_the_making_good_is_made_good_too(shop: Shop) -> None:
    shop.start(2)
    shop.work(10)
    shop.settle()
    with shop.held():
        shop.pile_up()
        for _ in range(3):
            shop.broker.flush()
            time.sleep(0.7)
    shop.settle()


def test_ordinary_work_restarts_and_failures_are_no_loss(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        shop.start(2)
        shop.work(10)
        shop.broker.restart()
        shop.work(5)
        shop.settle()
        time.sleep(1.0)  # two sweeps, some looks
        shop.stop()
    assert "has lost messages" not in caplog.text


def test_a_handler_that_is_new_gets_no_history_from_a_loss(shop: Shop) -> None:
    shop.start()
    shop.work(10)
    shop.settle()
    shop.stop()
    # As if it had never been there: the same code, for a system in which the handler is new.
    shop.execute("DELETE FROM handlers WHERE name = 'Postman'", "DELETE FROM inbox", "DELETE FROM letter")
    for stream in ("thing", "thing:backfill"):
        shop.broker.destroy(stream, "Postman")
    last = shop.scalar("SELECT max(global_position) FROM messages")
    shop.start()
    shop.work(5)
    shop.quiet()
    shop.broker.flush()
    shop.work(5)
    shop.quiet()
    time.sleep(1.5)  # some looks and sweeps
    shop.quiet()
    letters = "FROM letter JOIN messages m ON m.message_id::text = letter.message_id WHERE m.global_position"
    assert shop.scalar(f"SELECT count(*) {letters} <= {last}") == 0
    written = shop.scalar(f"SELECT count(*) {letters} > {last}")
    assert written == shop.scalar(f"SELECT count(*) FROM messages WHERE type <> 'Noted' AND global_position > {last}")
    assert written == shop.scalar("SELECT count(DISTINCT message_id) FROM letter")


def test_floors_rise_behind_the_work_and_what_is_below_them_is_forgotten(shop: Shop) -> None:
    shop.config["server"]["inbox_retention"] = 0.0
    shop.start()
    shop.work(10)
    shop.settle()
    shop.wait_for(lambda: not shop.scalar("SELECT count(*) FROM inbox"))
    last = shop.scalar("SELECT max(global_position) FROM messages")
    assert shop.scalar("SELECT min(floor) FROM handlers") == last
    with Redis.from_url(shop.broker.url) as client, psycopg.connect(shop.database_url) as connection:
        row = connection.execute(
            "SELECT data::text, metadata::text, position, global_position FROM messages WHERE type = 'Changed' LIMIT 1"
        ).fetchone()
        assert row is not None
        data, metadata, position, global_position = row
        client.xadd(
            "thing",
            {
                "data": f'{{"data":{data},"metadata":{metadata[:-1]},"position":{position},'
                f'"global_position":{global_position}}}}}'
            },
        )
    shop.settle()


def test_the_evidence_outlives_a_process_that_dies_with_it(database_url: str, tmp_path: Path) -> None:
    """It is killed right after the publishing that finds the broker behind, before anything is written down."""
    broker = LossyBroker(tmp_path)
    broker.start()
    try:
        plain_url = urlsplit(database_url)._replace(scheme="postgresql").geturl()
        with tried(tmp_path, plain_url, broker.url) as trial:
            trial.start()
            with trial.load():
                time.sleep(1.0)
            trial.settle()
            trial.order("relay.added@primary")
            broker.flush()
            with trial.load():
                trial.wait_for(lambda: bool(trial.carried_out()), PATIENCE, lambda: "nobody has died")
                time.sleep(1.0)
            trial.settle(PATIENCE)
            trial.wait_for(lambda: "is made good" in trial.last_words(100_000), PATIENCE, lambda: "not made good")
            trial.settle(PATIENCE)
            trial.assert_exact()
    finally:
        broker.kill()


def test_a_crash_between_publishing_and_marking_is_no_loss(database_url: str, tmp_path: Path) -> None:
    broker = LossyBroker(tmp_path)
    broker.start()
    try:
        plain_url = urlsplit(database_url)._replace(scheme="postgresql").geturl()
        with tried(tmp_path, plain_url, broker.url) as trial:
            trial.start()
            for lane in ("primary", "backfill"):
                trial.order(f"relay.added@{lane}")
                with trial.load():
                    trial.wait_for(lambda: bool(trial.carried_out()), PATIENCE, lambda: "nobody has died")
                    time.sleep(1.0)
            trial.settle(PATIENCE)
            trial.assert_exact()
            assert "has lost messages" not in trial.last_words(1_000_000)
    finally:
        broker.kill()


def test_a_message_that_stays_unhandled_is_published_again_a_few_times_and_then_left_to_people(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.start()
    shop.work(2)
    shop.settle()
    shop.stop()
    recovery, told = shop.things.domain.database().recovery, []
    (interest,) = [each for each in _interests(shop) if each.handler == "Postman"]
    shop.execute("DELETE FROM inbox WHERE message_id = (SELECT message_id FROM inbox ORDER BY global_position LIMIT 1)")
    shop.execute("UPDATE handlers SET floor = start")
    keeper = FloorKeeper(
        recovery, "default", [interest], backlog=lambda _: 0, missing=told.append, known_loss=lambda: False
    )
    for _ in range(6):
        keeper.raise_floors(threading.Event())
    assert len(told) == 3
    assert caplog.text.count("nothing above it leaves the inbox") == 1


def _interests(shop: Shop) -> Any:
    from protean.server.recovering import interests_of

    return interests_of(shop.things.domain)["default"]
