"""Engines of two releases side by side: the old one's relays publish what only the new one's handlers listen to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest
from tests.server.conftest import wait_for

from protean import Domain, current_domain, handle, on
from protean.fields import Identifier
from protean.server.engine import Engine


class Release:
    """The domain as one release has it: with listeners to parcels, or without any. `handled` are parcels, by whom."""

    def __init__(self, config: dict[str, Any], *, listens: bool) -> None:
        self.domain = domain = Domain("parcels", config=config)
        self.handled: list[tuple[str, str]] = []
        handled = self.handled

        @domain.event(part_of="Parcel")
        class Sent:
            parcel_id: Identifier(required=True)

        @domain.aggregate
        class Parcel:
            pass

        @domain.command(part_of=Parcel)
        class Send:
            parcel_id: Identifier(required=True)

        @domain.command_handler(part_of=Parcel)
        class Sender:
            @handle(Send)
            def send(self, command: Any) -> None:
                parcel = Parcel(id=command.parcel_id)
                parcel.raise_(Sent(parcel_id=parcel.id))
                current_domain.repository_for(Parcel).add(parcel)

        if listens:

            @domain.projection
            class Journey:
                parcel_id: Identifier(identifier=True)

            @domain.projector(projector_for=Journey, aggregates=[Parcel])
            class JourneyProjector:
                @on(Sent)
                def sent(self, event: Any) -> None:
                    handled.append(("JourneyProjector", event.parcel_id))

            @domain.event_handler(part_of=Parcel)
            class Postman:
                @handle(Sent)
                def sent(self, event: Any) -> None:
                    handled.append(("Postman", event.parcel_id))

        domain.init()
        self._command = Send
        self.engines: list[Engine] = []

    def send(self, *parcels: str) -> None:
        for parcel in parcels:
            self.domain.process(self._command(parcel_id=parcel))

    def serve(self) -> None:
        engine = Engine(self.domain)
        engine.start()
        self.engines.append(engine)

    def by(self, handler: str) -> set[str]:
        return {parcel for who, parcel in self.handled if who == handler}

    def published(self) -> bool:
        return {count.status for count in self.domain.database().outbox.count()} <= {"published"}

    def lost(self) -> list[str]:
        lanes = self.domain.database().recovery.lanes("default")
        return [state.lost_why or "" for state in lanes if state.lost_at is not None]

    def stop(self) -> None:
        while self.engines:
            assert self.engines.pop().finish()

    def close(self) -> None:
        self.stop()
        self.domain.close()


@pytest.fixture
def config(database_url: str, broker_url: str) -> dict[str, Any]:
    return {
        "databases": {"default": {"database_uri": database_url}},
        "brokers": {"default": {"uri": broker_url}},
        "server": {"priority_lanes": {"enabled": True}, "grace_period": 10.0},
    }


@pytest.fixture
def old(config: dict[str, Any]) -> Iterator[Release]:
    release = Release(config, listens=False)
    yield release
    release.close()


@pytest.fixture
def new(config: dict[str, Any], old: Release) -> Iterator[Release]:  # closed before the old one
    del old
    release = Release(config, listens=True)
    yield release
    release.close()


def test_an_engine_that_has_no_handler_publishes_for_one_that_has(old: Release, new: Release) -> None:
    old.domain.database()
    new.domain.database().setup(new.domain.tables["default"])
    old.serve()
    old.send("before")
    wait_for(old.published)
    assert old.domain.broker().stream("parcel").length == 0

    new.serve()
    new.stop()  # registered, and being restarted
    old.send("meanwhile")
    wait_for(old.published)
    assert old.domain.broker().stream("parcel").length == 1

    new.serve()
    wait_for(lambda: len(new.handled) >= 2, lambda: str(new.handled))
    assert new.by("Postman") == {"meanwhile"}
    assert new.by("JourneyProjector") == {"meanwhile"}


def test_while_a_category_gets_its_first_handlers_none_of_its_messages_is_dropped(
    old: Release, new: Release, config: dict[str, Any], database_url: str
) -> None:
    """Both releases' relays are at it, before, while and after the new one starts."""
    new.domain.database().setup(new.domain.tables["default"])
    writers, over = Release(config, listens=False), threading.Event()

    def write() -> None:
        number = 0
        while not over.wait(0.002):
            writers.send(f"p-{number}")
            number += 1

    old.serve()
    thread = threading.Thread(target=write)
    thread.start()
    try:
        time.sleep(0.5)
        new.serve()
        time.sleep(1.5)
    finally:
        over.set()
        thread.join()
        writers.close()
    wait_for(new.published)
    owed = published_since_registration(database_url)
    assert len(owed) > 50
    wait_for(lambda: owed <= new.by("Postman") and owed <= new.by("JourneyProjector"), lambda: str(len(new.handled)))
    assert new.lost() == []


def published_since_registration(database_url: str) -> set[str]:
    with psycopg.connect(database_url.replace("+psycopg", "")) as admin:
        (registered,) = admin.execute("SELECT max(registered_at) FROM handlers").fetchone() or (None,)
        assert isinstance(registered, datetime)
        rows = admin.execute(
            "SELECT m.data ->> 'parcel_id' FROM outbox o JOIN messages m USING (global_position)"
            " WHERE o.published_at >= %s",
            (registered,),
        ).fetchall()
    return {parcel for (parcel,) in rows}
