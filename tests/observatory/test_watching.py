"""Many who look, slow ones, those who leave and come again, and servers that do not answer meanwhile."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import psycopg
import pytest
from redis import Redis
from tests.faults.proxy import Fault, Proxy, Server
from tests.observatory.conftest import Watched, events
from tests.server.conftest import Cluster, wait_for

from protean.server.observatory import feed
from protean.server.observatory.collector import Collector
from protean.server.observatory.feed import WAITING, Feed, Handed
from protean.server.observatory.snapshot import Snapshot
from protean.server.observatory.streaming import Shared
from protean.server.observatory.traces import Wanted


def told(number: int) -> dict[str, Any]:
    return {"event": "handler.completed", "stream": "account", "message_type": "Opened", "number": number}


def publish(cluster: Cluster, first: int, last: int, size: int = 7) -> None:
    """Traces of these numbers, as an engine leaves them, in several batches."""
    broker = cluster.bank.domain.broker()
    for begin in range(first, last, size):
        traces = [told(number) for number in range(begin, min(begin + size, last))]
        broker.publish_traces([json.dumps(traces).encode()], 2_000)


def numbers(received: list[dict[str, str]]) -> list[int]:
    return [json.loads(each["data"])["number"] for each in received]


def test_two_viewers_are_told_the_same(watched: Watched, cluster: Cluster) -> None:
    received: dict[str, list[int]] = {}

    def view(path: str, count: int) -> None:
        received[path] = numbers(events(watched, path, count))

    viewing = [threading.Thread(target=view, args=each) for each in (("/stream", 20), ("/stream?type=Opened", 20))]
    for each in viewing:
        each.start()
    publishing = threading.Event()

    def work() -> None:
        number = 0
        while not publishing.wait(0.02):
            publish(cluster, number, number + 7)
            number += 7

    working = threading.Thread(target=work)
    working.start()
    for each in viewing:
        each.join()
    publishing.set()
    working.join()

    assert all(each == list(range(each[0], each[0] + 20)) for each in received.values())
    assert len(received) == 2


def test_a_slow_viewer_loses_the_oldest_and_knows_how_many(cluster: Cluster) -> None:
    following = Feed(cluster.bank.domain.broker())
    following.start()

    async def view() -> tuple[list[int], int, int]:
        with following.viewing(Wanted()) as slow, following.viewing(Wanted(message_type="Nothing")) as other:
            await asyncio.to_thread(following.since, "0-0-0")  # it has begun to read
            await asyncio.to_thread(publish, cluster, 0, 2 * WAITING + 500, 250)
            await asyncio.to_thread(wait_for, lambda: slow.dropped == WAITING + 500)
            handed = await anext(slow.handed())
            received = [trace.fields["number"] for portion in handed.portions for trace in portion.traces]
            return received, handed.dropped, other.dropped

    try:
        received, dropped, dropped_elsewhere = asyncio.run(view())
    finally:
        following.stop()

    assert received == list(range(WAITING + 500, 2 * WAITING + 500))
    assert (dropped, dropped_elsewhere) == (WAITING + 500, 0)


def test_a_trace_is_written_once_for_all_who_want_it(cluster: Cluster) -> None:
    following = Feed(cluster.bank.domain.broker())
    following.start()
    all_of_it, some_of_it = Wanted(), Wanted(event="handler.completed")

    async def view() -> list[Handed]:
        with ExitStack() as there:
            viewers = [there.enter_context(following.viewing(each)) for each in [all_of_it, some_of_it] * 20]
            await asyncio.to_thread(following.since, "0-0-0")
            await asyncio.to_thread(publish, cluster, 0, 30, 30)
            return list(await asyncio.gather(*(anext(viewer.handed()) for viewer in viewers)))

    try:
        received = asyncio.run(view())
    finally:
        following.stop()

    assert len({id(each.portions[0].text) for each in received}) == 2
    assert len({id(trace.text) for each in received for trace in each.portions[0].traces}) == 30


def test_who_comes_again_misses_nothing_and_is_told_nothing_twice(watched: Watched, cluster: Cluster) -> None:
    first: list[dict[str, str]] = []
    viewing = threading.Thread(target=lambda: first.extend(events(watched, "/stream", 1)))
    viewing.start()
    done, number = threading.Event(), 0
    while viewing.is_alive():
        publish(cluster, number, number + 1)
        number += 1
        time.sleep(0.01)

    def work() -> None:
        for begin in range(number, number + 600, 12):
            publish(cluster, begin, begin + 12)
            time.sleep(0.01)
        done.set()

    working = threading.Thread(target=work)
    working.start()
    received, last = numbers(first), first[-1]["id"]
    while received[-1] < number + 599:
        again = events(watched, "/stream", 40 if received[-1] < number + 500 else 1, {"Last-Event-ID": last})
        received, last = received + numbers(again), again[-1]["id"]
    working.join()

    assert done.is_set()
    assert received == list(range(received[0], number + 600))


def test_the_engines_fall_silent_when_the_last_viewer_has_left(
    watched: Watched, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WATCH", 2.0)
    monkeypatch.setattr(feed, "WATCH_INTERVAL", 0.5)
    cluster.start()
    signals = cluster.banks[0].domain.signals

    with watched.client.stream("GET", "/stream"):
        wait_for(lambda: signals.tracing)
    wait_for(lambda: not signals.tracing)

    assert not cluster.bank.domain.broker().watched()


def test_figures_are_read_and_written_once_for_all_who_look(cluster: Cluster) -> None:
    async def look() -> list[tuple[datetime, bytes]]:
        shared, shown = Shared(collector), [None] * 100
        first = await asyncio.gather(*(shared.after(each) for each in shown))
        return [*first, *await asyncio.gather(*(shared.after(at) for at, _ in first))]

    class Counting(Collector):
        asked = 0

        def latest(self, newer_than: datetime | None = None, patience: float = 10.0) -> Snapshot:
            self.asked += 1
            return super().latest(newer_than, patience)

    collector = Counting(cluster.bank.domain)
    collector.start()
    try:
        received = asyncio.run(look())
    finally:
        collector.stop()

    assert collector.asked == 2
    assert len({text for _, text in received[:100]}) == len({text for _, text in received[100:]}) == 1
    assert received[0][0] < received[100][0]


@pytest.fixture
def unsteady(
    cluster: Cluster, observe: Callable[..., Watched], database_url: str, broker_url: str
) -> Iterator[tuple[Watched, Proxy, Proxy]]:
    """An Observatory whose lines to the database and to the broker may fail."""
    database, broker = Proxy(Server.of_database(database_url)), Proxy(Server.of_broker(broker_url))
    config = {
        **cluster.config,
        "databases": {"default": {"database_uri": database.database_url(database_url)}},
        "brokers": {"default": {"uri": broker.broker_url(broker_url)}},
    }
    yield observe(config=config), database, broker
    database.close()
    broker.close()


@pytest.mark.parametrize("which", ["database", "broker"])
def test_it_answers_while_a_server_does_not_and_follows_again_afterwards(
    unsteady: tuple[Watched, Proxy, Proxy], cluster: Cluster, which: str
) -> None:
    watched, *lines = unsteady
    line = lines[["database", "broker"].index(which)]
    assert watched.json("/api/overview")["verdict"]["level"] == "good"

    line.fail(Fault.REFUSE)
    wait_for(lambda: watched.json("/api/overview")["verdict"]["level"] == "unknown")
    overview, lanes = watched.json("/api/overview"), watched.json("/api/lanes")
    assert overview["verdict"]["text"].startswith("Nothing can be said for sure: ")
    assert lanes["lanes"]  # as they last were
    assert 'protean_up{domain="bank"} 0.0' in watched.client.get("/metrics").text

    line.heal()
    wait_for(lambda: watched.json("/api/overview")["verdict"]["level"] == "good")
    assert 'protean_up{domain="bank"} 1.0' in watched.client.get("/metrics").text
    received: list[dict[str, str]] = []
    viewing = threading.Thread(target=lambda: received.extend(events(watched, "/stream", 3)))
    viewing.start()
    while viewing.is_alive():
        publish(cluster, 0, 1)
        time.sleep(0.05)
    assert len(received) == 3


def test_a_viewer_stays_while_the_broker_is_away(unsteady: tuple[Watched, Proxy, Proxy], cluster: Cluster) -> None:
    watched, _, broker = unsteady
    received: list[int] = []

    def view() -> None:
        with watched.client.stream("GET", "/stream") as answer:
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    received.append(json.loads(line[5:])["number"])
                    if received[-1] == 2:
                        return

    viewing = threading.Thread(target=view)
    viewing.start()
    while not received:
        publish(cluster, 1, 2)
        time.sleep(0.02)
    broker.fail(Fault.REFUSE)
    broker.heal()
    while viewing.is_alive():
        publish(cluster, 2, 3)
        time.sleep(0.05)
    assert received[-1] == 2


def test_nobody_looks_and_no_server_is_asked(
    watched: Watched, cluster: Cluster, database_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Observatory's own connections, as the servers know them, and when each was last used."""
    monkeypatch.setattr("protean.server.observatory.collector.INTEREST", 0.5)
    watched.json("/api/overview")
    received: list[dict[str, str]] = []
    viewing = threading.Thread(target=lambda: received.extend(events(watched, "/stream", 1)))
    viewing.start()
    while viewing.is_alive():
        publish(cluster, 0, 1)
        time.sleep(0.05)
    cluster.bank.domain.close()  # nobody but the Observatory is connected now

    database = psycopg.connect(database_url.replace("postgresql+psycopg", "postgresql"), autocommit=True)
    broker = Redis.from_url(broker_url, protocol=2)
    number = broker.connection_pool.connection_kwargs["db"]
    me = broker.client_id()

    def asked() -> tuple[Any, Any]:
        sessions = database.execute(
            "SELECT pid, query_start FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
            "pg_backend_pid() AND backend_type = 'client backend' ORDER BY pid"
        ).fetchall()
        clients = [each for each in broker.client_list() if int(each["db"]) == number and int(each["id"]) != me]
        return sessions, sorted((each["id"], each["tot-cmds"]) for each in clients)

    def rests() -> bool:
        before = asked()
        time.sleep(2 * feed.READ_BLOCK)  # what polls at all would have by then
        return asked() == before

    wait_for(rests)
    before = asked()
    watched.json("/api/overview")
    assert asked()[0] != before[0]  # it is noticed when somebody does look, at either server
    assert asked()[1] != before[1]
    database.close()
    broker.close()
