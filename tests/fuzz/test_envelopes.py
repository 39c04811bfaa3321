"""Whatever lies on a stream: it is read or refused in one way, nobody breaks down over it, and nothing good is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from tests.fuzz.garbage import DEEP, VALUES, envelopes
from tests.server.conftest import Cluster, cluster, wait_for

from protean import codec
from protean.envelope_schema import MAX_STREAM_NAME
from protean.exceptions import DeserializationError
from protean.message import Message, MessageKind
from protean.ports.progress import Failure, FailureFilter, FailureState, Position

__all__ = ["cluster"]

VALID = {
    "data": {"account_id": "acc-0", "amount": 1, "number": 1},
    "metadata": {
        "id": "6f6d1d3e-3f0c-4c0f-9a53-9a4b0f1c2d3e",
        "type": "Deposited",
        "version": 1,
        "kind": "event",
        "stream_name": "account-acc-0",
        "category": "account",
        "priority": 0,
        "time": "2026-02-03T04:05:06.789000Z",
        "correlation_id": "c-1",
        "causation_id": None,
        "tenant": "acme",
        "position": 1,
        "global_position": 17,
    },
}


def read(payload: bytes) -> Message | DeserializationError:
    try:
        return codec.decode(payload)
    except DeserializationError as error:
        return error


def assert_sound(message: Message) -> None:
    """What has passed can be compared, kept in every database and sent on."""
    assert isinstance(message.kind, MessageKind)
    assert 0 <= message.position < 2**63
    assert 0 <= message.global_position < 2**63
    assert 1 <= message.version < 2**63
    assert message.time <= datetime.max.replace(tzinfo=UTC)
    assert len(message.stream_name.encode()) <= MAX_STREAM_NAME
    for text in (message.id, message.type, message.stream_name, message.category):
        assert text
        assert "\0" not in text
    for id_ in (message.correlation_id, message.causation_id):
        assert id_ is None or "\0" not in id_
    without_data = replace(message, data={})  # what is in there is for the fields to check
    assert codec.decode(codec.encode(without_data)) == without_data


def read_all(seed: int, count: int) -> None:
    outcomes = {True: 0, False: 0}
    for payload in envelopes(VALID, seed, count):
        outcome = read(payload)
        outcomes[isinstance(outcome, Message)] += 1
        if isinstance(outcome, Message):
            assert_sound(outcome)
        else:
            assert 0 < len(str(outcome)) < 1000
    assert min(outcomes.values()) > count / 100, outcomes  # the fuzz itself is worth something


def test_5000_envelopes_are_read_or_refused_and_nothing_else_happens() -> None:
    read_all(seed=1, count=5_000)


class KnowsNothing:
    """In the place of what reads messages as they are written here."""

    def validate_python(self, parts: dict[str, Any]) -> Message:
        raise ValueError(f"looked at piece by piece: {sorted(parts)}")


def test_what_is_read_in_one_go_is_what_is_read_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = [
        json.dumps({**VALID, "metadata": {**VALID["metadata"], key: "@@@"}}).replace('"@@@"', value).encode()
        for key in (*VALID["metadata"], "data", "headers", "x")
        for value in VALUES
    ]
    payloads = [json.dumps(VALID).encode(), *changed, *envelopes(VALID, seed=13, count=2_000)]
    at_once = [read(payload) for payload in payloads]
    monkeypatch.setattr(codec, "MESSAGE", KnowsNothing())
    for payload, outcome in zip(payloads, at_once, strict=True):
        piecemeal = read(payload)
        assert repr(piecemeal) == repr(outcome), payload[:500]  # types, zones and words, too


@pytest.mark.faults
def test_100000_envelopes_are_read_or_refused_and_nothing_else_happens() -> None:
    for seed in range(2, 12):
        read_all(seed, 10_000)


def test_an_envelope_as_it_should_be_is_read() -> None:
    message = codec.decode(json.dumps(VALID).encode())
    assert_sound(message)
    assert (message.type, message.position, message.headers) == ("Deposited", 1, {"tenant": "acme"})


@pytest.mark.parametrize("key", [key for key in VALID["metadata"] if key != "tenant"])
def test_each_part_of_the_metadata_is_checked_for_itself(key: str) -> None:
    refused = 0
    for value in VALUES:
        changed = {**VALID, "metadata": {**VALID["metadata"], key: "@@@"}}
        outcome = read(json.dumps(changed).replace('"@@@"', value).encode())
        if isinstance(outcome, Message):
            assert_sound(outcome)
        refused += not isinstance(outcome, Message)
    assert refused > len(VALUES) / 4


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"[" * DEEP, "not JSON: recursion limit exceeded"),
        (b'{"data":{"x":NaN},"metadata":{}}', "not JSON"),
        (b'{"data":{"x":"\\ud800"},"metadata":{}}', "not JSON"),
        (b"\xff", "not JSON"),
        (b"x" * (codec.MAX_BYTES + 1), f"bytes, more than {codec.MAX_BYTES}"),
    ],
)
def test_the_refusal_says_why(payload: bytes, why: str) -> None:
    with pytest.raises(DeserializationError, match=re.escape(why)):
        codec.decode(payload)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"time": "2026-01-01T00:00:00"}, "metadata `time` needs a time zone, 2026-01-01 00:00:00 has none"),
        ({"time": "0001-01-01T00:00:00+01:00"}, "out of range"),
        ({"stream_name": "x" * 2_001}, "metadata `stream_name` has 2001 bytes, more than 2000"),
        ({"position": -1}, "metadata `position` must be a number from 0, of 64 bits"),
        ({"version": 0}, "metadata `version` must be a number from 1, of 64 bits"),
        ({"correlation_id": ["a"]}, "metadata `correlation_id` must be a text without NUL"),
        ({"tenant": "a\0"}, "metadata contains a NUL character"),
        ({"priority": 101}, "priority 101 is outside"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_refusal_of_a_value_says_which(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(DeserializationError, match=re.escape(why)):
        codec.decode(json.dumps({**VALID, "metadata": {**VALID["metadata"], **changed}}).encode())


@pytest.fixture
def stream(cluster: Cluster) -> Iterator[Redis]:
    with Redis.from_url(str(cluster.bank.domain.config.brokers["default"].uri)) as server:
        yield server


def failures(cluster: Cluster) -> list[Failure]:
    transaction = cluster.bank.domain.database().transaction()
    try:
        return transaction.failures.find(FailureFilter(), 10_000)
    finally:
        transaction.rollback()


def positions(cluster: Cluster, handler: str, streams: set[str]) -> dict[str, Position]:
    transaction = cluster.bank.domain.database().transaction()
    try:
        return transaction.positions.lock(handler, streams)
    finally:
        transaction.rollback()


def test_between_hundreds_of_bad_entries_every_good_event_is_handled_and_no_bad_one_is_lost(
    cluster: Cluster, stream: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    bank = cluster.bank
    names = [f"acc-{number}" for number in range(100)]
    for name in names:
        bank.open(name)
        bank.deposit(name)
    # Strangers' ids and histories: a forged place in the history of an account of ours would be believed.
    forged: dict[str, Any] = {
        "data": {**VALID["data"], "account_id": "nobody"},
        "metadata": {**VALID["metadata"], "id": str(uuid4()), "stream_name": "account-nobody"},
    }
    bad = list(envelopes(forged, seed=12, count=400))
    cluster.start(2)
    entries = {}
    for number, payload in enumerate(bad):
        lane = cluster.streams[number % 2]
        fields: dict[Any, Any] = {"data": payload} if number % 20 else {"something": "else"}
        entries[f"{lane}/{stream.xadd(lane, fields).decode()}"] = fields.get("data", b'{"something": "else"}')
        if number % 4 == 0:
            bank.deposit(names[number // 4])
    wait_for(lambda: all(bank.applied(name) == [0, 1, 2] for name in names), lambda: str(cluster.owed()))
    cluster.settle()
    assert not [record for record in caplog.records if "broke down" in record.getMessage()]
    kept = {(failure.handler, failure.message_id): failure for failure in failures(cluster)}
    readable = []
    for id_, payload in entries.items():
        outcome = read(payload)
        if isinstance(outcome, Message):
            readable.append(outcome)
            continue
        for handler in ("LedgerProjector", "OwnerProjector", "Postman"):
            failure = kept[handler, id_]
            assert (failure.state, failure.raw) == (FailureState.DEAD, payload)
    at = positions(cluster, "LedgerProjector", {message.stream_name for message in readable})
    for message in readable:
        if message.type in bank.events:
            place = at[message.stream_name]
            noted = ("LedgerProjector", message.id) in kept
            assert place.position >= message.position or place.blocked or noted, message


def test_an_entry_that_names_a_history_too_long_for_an_index_stops_nobody(cluster: Cluster, stream: Redis) -> None:
    long = json.dumps({**VALID, "metadata": {**VALID["metadata"], "stream_name": "account-" + random_text(3000)}})
    stream.xadd("account", {"data": long})
    cluster.bank.open("acc-0")
    cluster.start()
    wait_for(lambda: cluster.bank.applied("acc-0") == [0])
    cluster.settle()
    assert {failure.error_type for failure in failures(cluster)} == {"DeserializationError"}
    assert {failure.raw for failure in failures(cluster)} == {long.encode()}


def random_text(length: int) -> str:
    """Nothing that would become short by being compressed."""
    return "".join(uuid4().hex for _ in range(length // 32))
