"""States a server may be in, and what other people do to streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from protean.adapters.redis.broker import RedisBroker
from protean.exceptions import (
    BrokerError,
    BrokerUnavailableError,
    ConfigurationError,
    GroupMissingError,
)
from protean.ports.broker import BEHIND, Entry, Tally

SECRET = "s3cr3t-p4ssw0rd"


@contextmanager
def configured(admin: Redis, setting: str, value: str) -> Iterator[None]:
    before = admin.config_get(setting)[setting]
    admin.config_set(setting, value)
    try:
        yield
    finally:
        admin.config_set(setting, before)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_an_eviction_policy_is_refused_by_name_with_the_remedy(broker: RedisBroker, admin: Redis, policy: str) -> None:
    with (
        configured(admin, "maxmemory-policy", policy),
        pytest.raises(ConfigurationError, match=f"{policy}.*CONFIG SET maxmemory-policy noeviction"),
    ):
        broker.ping()
    broker.ping()


def test_out_of_memory_refuses_new_entries_only(broker: RedisBroker, admin: Redis) -> None:
    broker.ensure_group("customer", "Group")
    broker.publish([("customer", b"1"), ("customer", b"2")])
    broker.beat("one", 0.2)

    with configured(admin, "maxmemory", "1"):
        with pytest.raises(BrokerUnavailableError, match="out of memory"):
            broker.publish([("customer", b"3")])
        with pytest.raises(BrokerUnavailableError, match="out of memory"):
            broker.ensure_group("order", "Group")
        broker.beat("one", 10)  # Whoever lives must not look dead because of it.
        entries = broker.read("customer", "Group", "one", 10, 0)
        assert broker.claim("customer", "Group", "dead", "one", 10) == []
        broker.ack("customer", "Group", [entry.id for entry in entries])
        assert broker.stream("customer").length == 0

    broker.publish([("customer", b"3")])
    assert broker.living() == ["one"]


def test_a_read_only_replica_is_unavailable(broker: RedisBroker, admin: Redis) -> None:
    broker.ensure_group("customer", "Group")
    admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(BrokerUnavailableError, match="read-only replica"):
            broker.publish([("customer", b"1")])
        with pytest.raises(BrokerUnavailableError, match="read-only replica"):
            broker.read("customer", "Group", "one", 1, 0)
        with pytest.raises(BrokerUnavailableError, match="read-only replica"):
            broker.ack("customer", "Group", ["1-0"])
    finally:
        admin.execute_command("REPLICAOF", "NO", "ONE")
    broker.publish([("customer", b"1")])


def test_scripts_are_sent_again_after_a_script_flush(broker: RedisBroker, admin: Redis) -> None:
    broker.ensure_group("customer", "Group")
    broker.publish([("customer", b"1")])
    (entry,) = broker.read("customer", "Group", "one", 1, 0)
    admin.script_flush()
    assert broker.backlog([("customer", "Group"), ("order", "Group")]) == [1, 0]
    admin.script_flush()
    broker.ack("customer", "Group", [entry.id])

    assert broker.stream("customer").length == 0


def test_a_batch_is_counted_also_when_the_server_has_forgotten_the_script(broker: RedisBroker, admin: Redis) -> None:
    assert broker.publish([("customer", b"1")], Tally("lane", 0)) == 1
    admin.script_flush()
    assert broker.publish([("customer", b"2")], Tally("lane", 1)) == 2
    assert broker.publish([("customer", b"3")], Tally("lane", 2)) == 3
    assert broker.stream("customer").length == 3


@pytest.mark.parametrize("value", ["not a number", "12abc"])
def test_a_count_that_somebody_has_overwritten_proves_nothing_any_more(
    broker: RedisBroker, admin: Redis, value: str
) -> None:
    broker.publish([("customer", b"1")], Tally("lane", 0))
    admin.set("protean:published:lane", value)
    assert broker.tallies(["lane"]) == [0]
    assert broker.publish([("customer", b"2")], Tally("lane", 1)) == BEHIND
    admin.delete("protean:published:lane")
    admin.rpush("protean:published:lane", "a list")
    assert broker.tallies(["lane"]) == [0]
    assert broker.publish([("customer", b"3")], Tally("lane", 1)) == BEHIND
    assert broker.stream("customer").length == 3


def test_a_batch_that_a_full_server_does_not_count_is_published_again(broker: RedisBroker, admin: Redis) -> None:
    broker.publish([("customer", b"1")], Tally("lane", 0))
    with configured(admin, "maxmemory", "1"), pytest.raises(BrokerUnavailableError, match="out of memory"):
        broker.publish([("customer", b"2")], Tally("lane", 1))
    assert broker.tallies(["lane"]) == [1]
    assert broker.publish([("customer", b"2")], Tally("lane", 1)) == 2


@pytest.mark.proves("protean.exceptions.BrokerError")
def test_a_refused_payload_is_told_from_a_broker_that_takes_nothing(broker: RedisBroker, admin: Redis) -> None:
    admin.set("taken", "a text")
    with pytest.raises(BrokerError, match=r"1 of 3 entries, the first for 'taken'.*WRONGTYPE") as caught:
        broker.publish([("customer", b"1"), ("taken", b"2"), ("customer", b"3")])

    assert not isinstance(caught.value, BrokerUnavailableError)
    assert [fields for _, fields in broker.entries("customer", "-", 9)] == [{"data": b"1"}, {"data": b"3"}]


def test_a_refused_command_leaves_the_connection_in_step(broker: RedisBroker, admin: Redis) -> None:
    admin.set("taken", "a text")
    for call in [
        lambda: broker.ensure_group("taken", "Group"),
        lambda: broker.read("taken", "Group", "one", 1, 0),
        lambda: broker.stream("taken"),
        lambda: broker.backlog([("customer", "Group"), ("taken", "Group")]),
        lambda: broker.ack("taken", "Group", ["1-0"]),
    ]:
        with pytest.raises(BrokerError, match="WRONGTYPE"):
            call()
        assert broker.stream("customer").length == 0


def test_entries_trimmed_while_pending_come_without_payload(broker: RedisBroker, admin: Redis) -> None:
    broker.ensure_group("customer", "Group")
    broker.publish([("customer", b"1"), ("customer", b"2"), ("customer", b"3")])
    gone, kept, also_kept = broker.read("customer", "Group", "dead", 3, 0)
    admin.xdel("customer", gone.id)

    assert broker.pending("customer", "Group", "dead", "0", 10) == [Entry(gone.id, None), kept, also_kept]
    assert broker.claim("customer", "Group", "dead", "one", 10) == [Entry(gone.id, None), kept, also_kept]
    broker.ack("customer", "Group", [gone.id, kept.id, also_kept.id])
    assert broker.backlog([("customer", "Group")]) == [0]
    assert broker.stream("customer").length == 0


def test_an_entry_of_somebody_else_without_data_is_its_fields(broker: RedisBroker, admin: Redis) -> None:
    broker.ensure_group("customer", "Group")
    admin.xadd("customer", {"other": "x"})
    admin.xadd("customer", {"other": "x", "data": "found"})

    assert [entry.payload for entry in broker.read("customer", "Group", "one", 2, 0)] == [
        b'{"other": "x"}',
        b"found",
    ]


def test_lag_that_the_server_cannot_tell_is_counted(broker: RedisBroker, admin: Redis) -> None:
    broker.ensure_group("customer", "Group")
    broker.publish([("customer", str(n).encode()) for n in range(10)])
    broker.read("customer", "Group", "one", 3, 0)
    ids = [entry_id for entry_id, _ in broker.entries("customer", "-", 10)]
    admin.xdel("customer", ids[5])

    (group,) = broker.stream("customer").groups
    assert (group.lag, group.pending) == (6, 3)
    broker.read("customer", "Group", "one", 10, 0)
    assert broker.stream("customer").groups[0].lag == 0


def test_a_late_group_counts_as_having_read_what_was_trimmed(broker: RedisBroker, admin: Redis) -> None:
    broker.ensure_group("customer", "Early")
    broker.publish([("customer", b"x")] * 10)
    entries = broker.read("customer", "Early", "one", 6, 0)
    broker.ack("customer", "Early", [entry.id for entry in entries])
    broker.ensure_group("customer", "Late")

    late = admin.xinfo_groups("customer")[1]
    assert late["last-delivered-id"] == b"0-0"
    assert late.get("entries-read", 6) == 6  # servers before 7 do not count


def test_a_group_made_by_somebody_else_is_taken_as_it_is(broker: RedisBroker, admin: Redis) -> None:
    broker.publish([("customer", b"1")])
    admin.xgroup_create("customer", "Group", "$")

    assert not broker.ensure_group("customer", "Group")
    assert broker.read("customer", "Group", "one", 10, 0) == []


def test_the_server_lost_its_data(broker: RedisBroker, admin: Redis) -> None:
    broker.ensure_group("customer", "Group")
    admin.flushdb()

    with pytest.raises(GroupMissingError):
        broker.read("customer", "Group", "one", 1, 0)
    assert broker.ensure_group("customer", "Group")
    assert broker.read("customer", "Group", "one", 1, 0) == []


def test_users_and_passwords(broker_url: str, admin: Redis) -> None:
    admin.acl_setuser(
        "clerk", enabled=True, passwords=[f"+{SECRET}"], keys=["*"], commands=["+PING", "+INFO", "+SELECT"]
    )
    try:
        wrong = RedisBroker(signed(broker_url, f"clerk:wrong-{SECRET}"))
        with pytest.raises(BrokerUnavailableError, match="does not accept this user and password") as caught:
            wrong.ping()
        assert SECRET not in whole_text(caught.value)
        clerk = RedisBroker(signed(broker_url, f"clerk:{SECRET}"))
        clerk.ping()
        with pytest.raises(BrokerUnavailableError, match="does not permit its user"):
            clerk.publish([("customer", b"1")])
        assert SECRET not in repr(clerk)
        wrong.close()
        clerk.close()
    finally:
        admin.acl_deluser("clerk")


@pytest.mark.parametrize(
    "uri",
    [
        f"redis://user:{SECRET}@127.0.0.1:1/0",
        f"redis://:{SECRET}@127.0.0.1:1",
        f"redis://127.0.0.1:1/0?password={SECRET}",
        f"redis://user:{SECRET}@no-such-host.invalid:6379",
        f"unix://user:{SECRET}@/tmp/no-such-socket?db=1&password={SECRET}",
        f"rediss://user:{SECRET}@127.0.0.1:1/0",
    ],
)
def test_no_error_tells_a_password(uri: str) -> None:
    broker = RedisBroker(uri)
    with pytest.raises(BrokerUnavailableError, match="cannot be reached") as caught:
        broker.ping()

    assert SECRET not in whole_text(caught.value)
    assert SECRET not in repr(broker)
    assert broker._client.server in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        f"http://user:{SECRET}@localhost",
        f"redis://user:{SECRET}/with-a-slash@localhost:6379",
        f"redis://user:x@localhost:{SECRET}",
        f"redis://localhost?db={SECRET}",
        f"redis://:1{SECRET}?{SECRET}@localhost",
        f"redis://user:12#{SECRET}@localhost",
        f"redis://user:12/{SECRET}@localhost",
        "redis://localhost/customers",
        "localhost:6379",
        "",
    ],
)
def test_a_uri_that_cannot_be_read_is_refused_without_telling_a_password(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="redis://, rediss:// or unix://") as caught:
        RedisBroker(uri)

    assert SECRET not in whole_text(caught.value)


def test_an_option_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="timeuot"):
        RedisBroker(f"redis://:{SECRET}@localhost?timeuot=5")


def signed(url: str, credentials: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{credentials}@{rest.rpartition('@')[2]}"


def whole_text(error: BaseException | None) -> str:
    """The text of an error and of all it was raised from."""
    return f"{error} {error!r} {whole_text(error.__cause__)}" if error else ""


def test_a_claim_tells_how_often_an_entry_was_in_somebodys_hands(broker: RedisBroker) -> None:
    broker.ensure_group("s", "g")
    broker.publish([("s", b"1"), ("s", b"2")])
    broker.read("s", "g", "first", 1, 0.0)
    broker.claim("s", "g", "first", "second", 10)
    broker.read("s", "g", "second", 1, 0.0)
    assert [entry.deliveries for entry in broker.claim("s", "g", "second", "third", 10)] == [2, 1]


def test_a_refusal_says_what_was_being_done_and_not_how_that_is_sent(broker: RedisBroker, admin: Redis) -> None:
    admin.set("customer", "no stream")
    with pytest.raises(BrokerError, match=r"refused making a consumer group: .*WRONGTYPE") as made:
        broker.ensure_group("customer", "Group")
    with pytest.raises(BrokerError, match=r"refused acknowledging: .*WRONGTYPE") as acknowledged:
        broker.ack("customer", "Group", ["1-0"])
    broker.ensure_group("order", "Group")
    with configured(admin, "maxmemory", "1"), pytest.raises(BrokerUnavailableError, match="a consumer group: ") as full:
        broker.ensure_group("invoice", "Group")
    assert not [each for each in (made, acknowledged, full) if "EVAL" in str(each.value)]
