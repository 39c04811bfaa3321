"""A network that fails between the engine and one of its servers, while clients are at work on both lanes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import OperationalError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as BrokenError
from redis.exceptions import TimeoutError as SilentError
from redis.retry import Retry
from tests.faults.conftest import Place, Trial, tried
from tests.faults.proxy import DELAY, Fault, Proxy, Server

#: Seconds that a fault lasts.
FAULT = 2.0
#: In every run each fault on the link where more depends on it; the rest with `make faults`.
USUAL = {
    ("database", Fault.LOST_REPLY),
    ("database", Fault.HALF_OPEN),
    ("broker", Fault.REFUSE),
    ("broker", Fault.RESET),
    ("broker", Fault.DELAY),
}
CELLS = [
    pytest.param(link, fault, marks=() if (link, fault) in USUAL else pytest.mark.faults)
    for link in ("database", "broker")
    for fault in Fault
]


@dataclass(frozen=True, slots=True)
class Wired:
    """A server behind two proxies, and what it takes to see a link."""

    trial: Trial
    links: dict[str, Proxy]


@pytest.fixture(scope="module")
def wired(place: Place) -> Iterator[Wired]:
    database = Proxy(Server.of_database(place.database_url))
    broker = Proxy(Server.of_broker(place.broker_url))
    through = {
        "databases": {"default": {"database_uri": database.database_url(place.database_url)}},
        "brokers": {"default": {"uri": broker.broker_url(place.broker_url)}},
    }
    with tried(place.folder, place.database_url, place.broker_url, through) as trial:
        trial.start()
        yield Wired(trial, {"database": database, "broker": broker})
    for proxy in (database, broker):
        proxy.close()


@pytest.mark.parametrize(("link", "fault"), CELLS)
def test_everything_is_handled_once_and_soon_after_the_network_has_healed(
    wired: Wired, link: str, fault: Fault
) -> None:
    trial, proxy = wired.trial, wired.links[link]
    before = {process.pid for process in trial.everybody()}
    with trial.load():
        time.sleep(0.5)
        proxy.fail(fault)
        time.sleep(FAULT)
        proxy.heal()
        time.sleep(0.5)
    print(f"{fault} to the {link}: quiet {trial.settle():.1f} s after the clients had ended")  # shown by pytest -rP
    trial.assert_exact()
    assert {process.pid for process in trial.everybody()} == before, f"nobody has to die of it\n{trial.last_words()}"


@pytest.mark.faults
@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.HALF_OPEN, Fault.LOST_REPLY])
@pytest.mark.parametrize("link", ["database", "broker"])
def test_a_failure_longer_than_every_timeout_is_ridden_out(wired: Wired, link: str, fault: Fault) -> None:
    trial, proxy = wired.trial, wired.links[link]
    with trial.load(rate=20):
        proxy.fail(fault)
        time.sleep(45.0)
        proxy.heal()
    trial.settle()
    trial.assert_exact()


def test_both_links_may_fail_at_once(wired: Wired) -> None:
    trial = wired.trial
    with trial.load():
        for fault in (Fault.RESET, Fault.LOST_REPLY):
            for proxy in wired.links.values():
                proxy.fail(fault)
            time.sleep(1.0)
        for proxy in wired.links.values():
            proxy.heal()
    trial.settle()
    trial.assert_exact()


def test_the_proxy_fails_as_it_says(place: Place) -> None:
    """Or the tests above would pass because nothing had happened."""
    proxy = Proxy(Server.of_broker(place.broker_url))
    proxied = Redis.from_url(
        proxy.broker_url(place.broker_url), socket_timeout=0.3, retry=Retry(NoBackoff(), 0), protocol=2
    )
    with Redis.from_url(place.broker_url) as direct, proxied as client:
        assert client.incr("seen") == 1
        proxy.fail(Fault.REFUSE)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port), 1).close()
        proxy.heal()
        assert client.incr("seen") == 2
        proxy.fail(Fault.RESET)
        with pytest.raises(BrokenError):
            client.incr("seen")
        proxy.heal()
        proxy.fail(Fault.HALF_OPEN)
        with pytest.raises((SilentError, BrokenError)):
            client.incr("seen")
        assert direct.get("seen") == b"2"
        proxy.heal()
        proxy.fail(Fault.DELAY)
        began = time.monotonic()
        with pytest.raises(SilentError):
            client.incr("seen")
        assert time.monotonic() - began < DELAY
        proxy.heal()
        assert client.incr("seen") >= 3
        seen = int(direct.get("seen") or 0)
        proxy.fail(Fault.LOST_REPLY)
        client.connection_pool.disconnect()
        with pytest.raises(BrokenError):
            client.incr("seen")
        proxy.heal()
        direct.delete("seen")
        assert seen >= 3
    proxy.close()


def test_a_lost_reply_of_a_commit_is_a_commit(place: Place) -> None:
    proxy = Proxy(Server.of_database(place.database_url))
    with (
        psycopg.connect(place.database_url, autocommit=True) as direct,
        psycopg.connect(proxy.database_url(place.database_url), autocommit=True) as client,
    ):
        direct.execute("CREATE TABLE lost_reply (n int)")
        proxy.fail(Fault.LOST_REPLY)
        with pytest.raises(OperationalError):
            client.execute("INSERT INTO lost_reply VALUES (1)")
        assert direct.execute("SELECT n FROM lost_reply").fetchall() == [(1,)]
        direct.execute("DROP TABLE lost_reply")
    proxy.close()
