"""Connections that are refused, break, or stand and carry nothing."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from redis import Redis
from tests.adapters.broker.network import Network, TlsTerminator, database

from protean.adapters.redis import doorbell
from protean.adapters.redis.broker import RedisBroker
from protean.exceptions import BrokerUnavailableError
from protean.testing.contracts.broker_steps import eventually

TIMEOUT = 0.3


@pytest.fixture
def remote(network: Network) -> Iterator[RedisBroker]:
    """A broker behind the network that can fail."""
    remote = RedisBroker(network.url, timeout=TIMEOUT)
    remote.ensure_group("customer", "Group")
    yield remote
    remote.close()


CALLS: dict[str, Callable[[RedisBroker], object]] = {
    "publish": lambda broker: broker.publish([("customer", b"1")]),
    "ensure_group": lambda broker: broker.ensure_group("customer", "Group"),
    "read": lambda broker: broker.read("customer", "Group", "one", 1, 0),
    "blocking read": lambda broker: broker.read("customer", "Group", "one", 1, 0.1),
    "pending": lambda broker: broker.pending("customer", "Group", "one", "0", 1),
    "ack": lambda broker: broker.ack("customer", "Group", ["1-0"]),
    "beat": lambda broker: broker.beat("one", 1),
    "leave": lambda broker: broker.leave("one", [("customer", "Group")]),
    "absent": lambda broker: broker.absent("customer", "Group"),
    "claim": lambda broker: broker.claim("customer", "Group", "dead", "one", 1),
    "ring": lambda broker: broker.ring("outbox"),
    "stream": lambda broker: broker.stream("customer"),
    "backlog": lambda broker: broker.backlog([("customer", "Group")]),
    "entries": lambda broker: broker.entries("customer", "-", 1),
    "living": lambda broker: broker.living(),
    "signs": lambda broker: broker.signs(),
    "silent": lambda broker: broker.silent("customer", "Group", 60.0),
    "streams": lambda broker: broker.streams("customer"),
    "held": lambda broker: broker.held("customer", "Group"),
    "resign": lambda broker: broker.resign("one", "customer", "Group"),
    "remove_group": lambda broker: broker.remove_group("customer", "Group"),
    "remove_stream": lambda broker: broker.remove_stream("customer"),
    "clock": lambda broker: broker.clock(),
    "bury": lambda broker: broker.bury("customer:dlq", {"data": b"1"}),
    "ping": lambda broker: broker.ping(),
    "flush": lambda broker: broker.flush("other"),
}


@pytest.mark.parametrize("name", CALLS)
def test_nobody_listens(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    broker = RedisBroker(f"redis://127.0.0.1:{port}/0")

    with pytest.raises(BrokerUnavailableError, match=rf"redis://127\.0\.0\.1:{port}/0 cannot be reached"):
        CALLS[name](broker)


@pytest.mark.parametrize("name", CALLS)
def test_a_connection_that_carries_nothing_is_given_up_and_replaced(
    network: Network, remote: RedisBroker, name: str
) -> None:
    CALLS[name](remote)
    network.freeze()
    started = time.monotonic()
    with pytest.raises(BrokerUnavailableError):
        CALLS[name](remote)
    assert time.monotonic() - started < 1.0

    network.reset()
    CALLS[name](remote)


@pytest.mark.parametrize("name", CALLS)
def test_a_connection_that_was_reset_while_idle_is_replaced_unseen(
    network: Network, remote: RedisBroker, name: str
) -> None:
    CALLS[name](remote)
    network.reset()
    time.sleep(0.05)

    CALLS[name](remote)


def test_a_reply_that_came_too_late_answers_nobody_else(
    network: Network, remote: RedisBroker, broker: RedisBroker
) -> None:
    network.drop_replies()
    with pytest.raises(BrokerUnavailableError):
        remote.publish([("customer", b"1")])
    network.reset()

    assert broker.stream("customer").length == 1  # it had arrived: publishing it again is the relay's right
    assert [entry.payload for entry in remote.read("customer", "Group", "one", 10, 0)] == [b"1"]
    assert remote.backlog([("customer", "Group")]) == [1]


def test_a_read_whose_reply_was_lost_is_found_in_pending(
    network: Network, remote: RedisBroker, broker: RedisBroker
) -> None:
    broker.publish([("customer", b"1")])
    network.drop_replies()
    with pytest.raises(BrokerUnavailableError):
        remote.read("customer", "Group", "one", 10, 0)
    network.reset()

    assert remote.read("customer", "Group", "one", 10, 0) == []
    assert [entry.payload for entry in remote.pending("customer", "Group", "one", "0", 10)] == [b"1"]


def test_a_half_open_connection_ends_a_blocking_read_soon_after_its_time(network: Network, remote: RedisBroker) -> None:
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(remote.read, "customer", "Group", "one", 1, 0.5)
        time.sleep(0.1)
        network.freeze()
        started = time.monotonic()
        with pytest.raises(BrokerUnavailableError):
            reading.result()
        assert time.monotonic() - started < 0.5 + TIMEOUT + 0.3


def test_the_server_kills_the_connection_of_a_waiting_read(broker: RedisBroker, admin: Redis) -> None:
    broker.ensure_group("customer", "Group")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(broker.read, "customer", "Group", "one", 1, 5)
        time.sleep(0.2)
        (waiting,) = [client for client in admin.client_list() if client["cmd"] == "xreadgroup"]
        admin.client_kill_filter(_id=waiting["id"])
        with pytest.raises(BrokerUnavailableError):
            reading.result()

    assert broker.read("customer", "Group", "one", 1, 0) == []


def test_an_idle_connection_that_was_killed_is_replaced_unseen(broker: RedisBroker, admin: Redis) -> None:
    broker.beat("one", 10)
    (idle,) = [client for client in admin.client_list() if client["cmd"] in {"set", "pexpire"}]
    admin.client_kill_filter(_id=idle["id"])

    assert broker.living() == ["one"]


def test_ringing_takes_a_second_at_most(network: Network, remote: RedisBroker) -> None:
    remote.ring("outbox")
    network.freeze()
    for _ in range(2):  # on the connection that stood, and on a new one
        started = time.monotonic()
        with pytest.raises(BrokerUnavailableError):
            remote.ring("outbox")
        assert time.monotonic() - started < 1.0


def test_a_listener_comes_back_and_counts_every_bell_as_rung(
    network: Network, remote: RedisBroker, broker: RedisBroker
) -> None:
    woken: list[str] = []
    stop = remote.listen(["outbox", "commands"], woken.append)
    eventually(lambda: sorted(woken) == ["commands", "outbox"])
    woken.clear()

    network.reset()
    eventually(lambda: sorted(woken) == ["commands", "outbox"])
    woken.clear()
    broker.ring("outbox")
    eventually(lambda: woken == ["outbox"])
    stop()


def test_a_listener_notices_that_its_connection_carries_nothing(
    network: Network, remote: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "SILENCE", 0.3)
    woken: list[str] = []
    stop = remote.listen(["outbox"], woken.append)
    eventually(lambda: woken)
    time.sleep(0.8)
    assert woken == ["outbox"]  # a silence that is answered is no loss
    network.strand()
    eventually(lambda: woken == ["outbox", "outbox"])
    stop()


def test_a_listener_waits_for_a_server_that_is_not_there_yet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    broker = RedisBroker(f"redis://127.0.0.1:{port}/0")
    woken: list[str] = []
    stop = broker.listen(["outbox"], woken.append)
    time.sleep(0.3)
    started = time.monotonic()
    stop()

    assert time.monotonic() - started < 1.5
    assert woken == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # which is why it is tested
def test_connections_are_not_shared_with_a_forked_process(broker: RedisBroker) -> None:
    broker.ensure_group("customer", "Group")
    child = os.fork()
    if child == 0:
        os._exit(0 if broker.stream("customer").groups[0].name == "Group" else 1)

    assert [broker.stream("customer").length for _ in range(20)] == [0] * 20
    assert os.waitpid(child, 0)[1] == 0


def test_over_tls(broker_url: str) -> None:
    terminator = TlsTerminator(broker_url)
    broker = RedisBroker(terminator.url, timeout=1.0)
    broker.ping()
    broker.ensure_group("customer", "Group")
    broker.publish([("customer", b"x" * 1_000_000)] * 2)
    rung: list[str] = []
    stop = broker.listen(["outbox"], rung.append)
    eventually(lambda: rung)
    broker.ring("outbox")
    eventually(lambda: len(rung) == 2)

    entries = broker.read("customer", "Group", "one", 10, 0.1)
    assert [len(entry.payload or b"") for entry in entries] == [1_000_000] * 2
    broker.ack("customer", "Group", [entry.id for entry in entries])
    assert broker.read("customer", "Group", "one", 10, 1.2) == []
    assert broker.stream("customer").length == 0
    stop()
    broker.close()
    terminator.close()


def test_over_tls_without_a_database_to_select(broker_url: str) -> None:
    """Nothing but the session tickets of TLS 1.3 comes before the first command: they must not look like a reply."""
    terminator = TlsTerminator(broker_url)
    broker = RedisBroker(terminator.url.replace(f"/{database(urlsplit(broker_url))}?", "/0?"))
    for _ in range(3):
        broker.ping()
    broker.close()
    terminator.close()


def test_a_certificate_that_nobody_vouches_for_is_refused(broker_url: str) -> None:
    terminator = TlsTerminator(broker_url)
    with pytest.raises(BrokerUnavailableError, match="certificate"):
        RedisBroker(terminator.url.partition("?")[0]).ping()
    terminator.close()
