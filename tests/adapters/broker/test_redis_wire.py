"""What is sent to the server, as the server saw it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

import pytest
from redis import Redis

from protean.adapters.redis.broker import RedisBroker
from protean.ports.broker import Tally

STREAMS = ("customer", "customer:backfill", "customer:dlq", "order")
END = "that is all"


def test_no_block_0_and_no_command_names_two_streams(broker: RedisBroker, admin: Redis, broker_url: str) -> None:
    commands = [command.split(" ") for command in watched(broker, admin, broker_url)]

    assert {words[0] for words in commands} >= {
        "PING", "XADD", "XREADGROUP", "EVALSHA", "XINFO", "PEXPIRE", "SET", "EXISTS", "PUBLISH", "XRANGE",
        "UNLINK", "XACK", "XTRIM", "XCLAIM", "SCAN", "GET", "INCR",
    }  # fmt: skip
    blocks = [int(words[words.index("BLOCK") + 1]) for words in commands if "BLOCK" in words]
    assert blocks == [1, 20]
    for words in commands:
        assert len({word for word in words if word in STREAMS}) <= 1, words
    assert not [words for words in commands if words[0] in {"XDEL", "FLUSHDB", "FLUSHALL", "KEYS", "MULTI"}]
    assert [words[1] for words in commands if "MAXLEN" in words] == ["customer:dlq"]


def test_a_batch_is_counted_after_its_entries(broker: RedisBroker, admin: Redis, broker_url: str) -> None:
    """So that a file, or a replica, that ends in between shows it: then entries are there and are not counted."""
    names = [command.split(" ")[0] for command in watched(broker, admin, broker_url)]
    counted = names.index("INCR")

    assert names[:counted].count("XADD") == 4
    assert "XADD" not in names[counted : names.index("XREADGROUP")]


def test_keys_of_its_own_are_under_protean_and_the_prefix(broker_url: str, admin: Redis) -> None:
    broker = RedisBroker(broker_url, prefix="shop")
    broker.beat("one", 10)
    broker.ensure_group("customer", "Group")

    assert sorted(admin.keys()) == [b"customer", b"protean:shop:beat:one"]
    broker.close()


def test_applications_that_share_a_server_see_their_own(broker_url: str, broker: RedisBroker) -> None:
    shop = RedisBroker(broker_url, prefix="shop")
    shop.beat("shopkeeper", 10)
    broker.beat("stranger", 10)
    shop.publish([("shop:customer", b"1"), ("customer", b"2")])

    assert shop.living() == ["shopkeeper"]
    assert broker.living() == ["stranger"]
    assert shop.flush("shop:") == 2
    assert shop.living() == []
    assert broker.living() == ["stranger"]
    assert broker.stream("customer").length == 1
    shop.close()


def test_flush_deletes_no_key_that_is_not_a_stream(broker: RedisBroker, admin: Redis) -> None:
    admin.set("customer:cache", "not ours")
    broker.publish([("customer", b"1"), ("c*stomer", b"2")])

    assert broker.flush("c*") == 1
    assert broker.flush("customer") == 1
    assert admin.keys() == [b"customer:cache"]


@pytest.mark.parametrize("ids", [0, 1, 499, 500, 501, 1_001])
def test_acknowledging_goes_in_bounded_steps(broker: RedisBroker, admin: Redis, ids: int) -> None:
    broker.ensure_group("customer", "Group")
    broker.publish([("customer", b"x")] * max(ids, 1))
    entries = broker.read("customer", "Group", "one", 2_000, 0)
    admin.config_resetstat()

    broker.ack("customer", "Group", [entry.id for entry in entries][:ids])

    calls = admin.info("commandstats")
    assert sum(calls.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ["evalsha"]) == -(-ids // 500)


def test_the_wait_of_a_read_may_be_longer_than_the_timeout_of_a_reply(broker_url: str) -> None:
    broker = RedisBroker(broker_url, timeout=0.2)
    broker.ensure_group("customer", "Group")

    assert broker.read("customer", "Group", "one", 10, 0.6) == []
    broker.close()


def watched(broker: RedisBroker, admin: Redis, broker_url: str) -> Iterator[str]:
    """Everything the broker does, as MONITOR tells it."""
    with Redis.from_url(broker_url) as watcher, watcher.monitor() as monitor:
        every_call(broker)
        admin.echo(END)
        commands = (told["command"] for told in monitor.listen())
        yield from takewhile(lambda command: END not in command, commands)


def every_call(broker: RedisBroker) -> None:
    broker.ping()
    for stream in ["customer", "customer:backfill"]:
        broker.ensure_group(stream, "Group")
    broker.publish(
        [("customer", b"1"), ("customer:backfill", b"2"), ("order", b"3"), ("customer", b"4")], Tally("t", 0)
    )
    broker.tallies(["t", "u"])
    broker.forget(["t", "u"])
    for block in [0, 0.0001, 0.02, 0.0, -1.0]:
        broker.read("customer", "Group", "one", 1, block)
    entries = broker.pending("customer", "Group", "one", "0", 10)
    broker.ack("customer", "Group", [entries[0].id])
    broker.beat("one", 10)
    broker.absent("customer", "Group")
    broker.leave("one", [("customer", "Group"), ("customer:backfill", "Group")])
    broker.claim("customer", "Group", "one", "two", 10)
    broker.ring("outbox")
    broker.stream("customer")
    broker.backlog([("customer", "Group"), ("customer:backfill", "Group"), ("order", "Group")])
    broker.bury("customer:dlq", {"data": b"1"})
    broker.entries("customer:dlq", "-", 5)
    broker.living()
    broker.signs()
    broker.silent("customer", "Group", 60.0)
    broker.streams("cust")
    broker.held("customer", "Group")
    broker.resign("two", "customer", "Group")
    broker.remove_group("customer", "Group")
    broker.remove_stream("customer:backfill")
    broker.clock()
    broker.flush("customer")
