"""The tenant, the cause and the correlation of a message, through a whole engine on real servers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.server.conftest import wait_for
from tests.support.years import Orders, build_orders

from protean.ports.progress import FailureFilter, FailureState
from protean.priority import Priority, processing_priority
from protean.server.dead_letters import DeadLetters
from protean.server.engine import Engine


@pytest.fixture
def serving(database_url: str, broker_url: str) -> Iterator[tuple[Orders, Orders]]:
    """The domain that writes, and the one that an engine in this process serves."""
    config = {
        "databases": {"default": {"database_uri": database_url}},
        "brokers": {"default": {"uri": broker_url}},
        "context": {"propagate": ["tenant_id"]},
        "server": {
            "priority_lanes": {"enabled": True},
            "retry": {"max_retries": 2, "base_delay": 0.05, "max_delay": 0.1},
            "grace_period": 10.0,
        },
    }
    writes, serves = build_orders(config), build_orders(config)
    writes.domain.database()
    engine = Engine(serves.domain)
    engine.start()
    yield writes, serves
    assert engine.finish()
    writes.domain.close()


def test_tenants_on_many_threads_and_both_lanes_never_mix(serving: tuple[Orders, Orders]) -> None:
    writes, serves = serving
    attempts: dict[str, int] = {}

    def ship(event: Any) -> None:
        """Fails at its first attempt, so that the tenant comes from the failures' side as well."""
        if type(event).__name__ == "OrderPlaced":
            attempts[event.order_id] = attempts.get(event.order_id, 0) + 1
            if attempts[event.order_id] == 1 and event.order_id.endswith("-0"):
                raise ValueError("not yet")
            serves.domain.process(serves.Ship(order_id=event.order_id))

    serves.in_handler = ship
    tenants = [f"tenant-{number}" for number in range(6)]

    def work(tenant: str) -> None:
        priority = Priority.LOW if tenant in tenants[:3] else Priority.NORMAL
        with writes.domain.domain_context(tenant_id=tenant), processing_priority(priority):
            for number in range(5):
                writes.place(f"{tenant}-{number}", correlation_id=f"request of {tenant}")

    threads = [threading.Thread(target=work, args=(tenant,)) for tenant in tenants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [f"{tenant}-{number}" for tenant in tenants for number in range(5)]

    def shipped() -> int:
        return sum(who == "OrderProjector" and seen.message.type == "OrderShipped" for who, seen in list(serves.told))

    wait_for(lambda: shipped() == len(names), lambda: f"{shipped()} of {len(names)} are shipped")
    for name in names:
        tenant, placed, sent = name.rpartition("-")[0], *writes.log(name)
        assert placed.headers == sent.headers == {"tenant_id": tenant}
        assert placed.correlation_id == sent.correlation_id == f"request of {tenant}"
        assert sent.causation_id == placed.id
        assert placed.priority == sent.priority == (Priority.LOW if tenant in tenants[:3] else Priority.NORMAL)
    mixed = [seen for who, seen in serves.told if seen.message.correlation_id != f"request of {seen.tenant}"]
    assert mixed == []


def test_a_dead_letter_keeps_its_surroundings_through_its_replay(serving: tuple[Orders, Orders]) -> None:
    writes, serves = serving
    broken = threading.Event()
    broken.set()

    def fail(event: Any) -> None:
        if broken.is_set():
            raise ValueError("no stamps")

    serves.in_handler = fail
    with writes.domain.domain_context(tenant_id="acme"):
        writes.place("a", correlation_id="request-7")
    letters, dead = DeadLetters(writes.domain), FailureFilter(state=FailureState.DEAD)
    wait_for(lambda: letters.count(dead) == 1)
    broker = writes.domain.broker()
    wait_for(lambda: len(broker.entries("order:dlq", "-", 10)) == 1)
    ((_, entry),) = broker.entries("order:dlq", "-", 10)
    metadata = json.loads(entry["data"])["metadata"]
    assert (metadata["correlation_id"], metadata["tenant_id"]) == ("request-7", "acme")
    broken.clear()
    settled = letters.replay(letters.find(dead), by="Ada")
    assert len(settled.succeeded) == 1
    (message,) = writes.log("a")
    seen = [seen for who, seen in serves.told if who == "Mailer"]
    assert [(each.message.id, each.message.correlation_id, each.tenant) for each in seen] == [
        (message.id, "request-7", "acme")
    ] * 4


def test_events_of_an_earlier_version_on_the_stream_are_brought_up_to_date(
    database_url: str, broker_url: str, serving: tuple[Orders, Orders]
) -> None:
    _, serves = serving
    config = {"databases": {"default": {"database_uri": database_url}}, "brokers": {"default": {"uri": broker_url}}}
    then = build_orders(config, version=1)
    with then.domain.domain_context():
        for number in range(20):
            then.place(f"old-{number}")
            then.domain.process(then.Ship(order_id=f"old-{number}"))
    views = serves.domain.repository_for(serves.view)
    wait_for(lambda: views.query.filter(shipped=1).count() == 20)
    assert {(row.total, row.currency) for row in views.query.all()} == {(3, "EUR")}
    then.domain.close()


def test_an_asynchronous_command_and_all_that_follows_are_its_senders(serving: tuple[Orders, Orders]) -> None:
    writes, serves = serving
    attempts: list[int] = []

    def fail_once(command: Any) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("not yet")

    serves.in_command = fail_once
    with writes.domain.domain_context(tenant_id="acme"), processing_priority(Priority.LOW):
        command_id = writes.place("a", correlation_id="request-7", asynchronous=True)
    wait_for(lambda: len(serves.told) >= 4, lambda: f"told so far: {serves.told}")
    (event,) = writes.log("a")
    commands = [seen for who, seen in serves.told if who == "Place"]
    assert [seen.message.id for seen in commands] == [command_id, command_id]
    assert [seen.message.position for seen in commands] == [0, 0]
    assert {(seen.tenant, seen.message.correlation_id) for _, seen in serves.told} == {("acme", "request-7")}
    assert (event.causation_id, event.priority) == (command_id, Priority.LOW)
