"""Subscribers to streams that somebody else writes: each entry once, retried, quarantined, and left where it is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis import Redis
from tests.server.conftest import wait_for

from protean import Domain, current_domain, current_message, handle
from protean.fields import Identifier, Integer
from protean.handle.foreign import entry_message_id
from protean.ports.progress import FailureFilter, FailureState
from protean.server.dead_letters import DeadLetters
from protean.server.engine import Engine
from protean.server.lane_report import lane_reports
from protean.server.recovering import Recovering


@dataclass
class Till:
    """`fails` names payments that cannot be booked; `seen` are those that were tried, with their messages' ids."""

    domain: Domain
    account: Any
    fails: set[str] = field(default_factory=set)
    seen: list[tuple[str, str]] = field(default_factory=list)
    engines: list[Engine] = field(default_factory=list)

    def start(self) -> Engine:
        engine = Engine(self.domain)
        engine.start()
        self.engines.append(engine)
        return engine

    def stop(self) -> None:
        for engine in self.engines:
            assert engine.finish()
        self.engines.clear()

    def balance(self) -> int:
        with self.domain.domain_context():
            account = self.domain.repository_for(self.account).get_or_none("till")
            return 0 if account is None else int(account.balance)

    def failures(self, state: FailureState) -> int:
        return DeadLetters(self.domain).count(FailureFilter(state=state))


def build_till(config: dict[str, Any], broker: str | None = None) -> Till:
    domain = Domain("till", config=config)
    options = {"stream": "payments", **({"broker": broker} if broker else {})}

    @domain.aggregate
    class Account:
        balance: Integer(default=0)

    @domain.command(part_of=Account)
    class Book:
        account_id: Identifier(required=True)
        amount: Integer(required=True)

    @domain.command_handler(part_of=Account)
    class Accountant:
        @handle(Book)
        def book(self, command: Any) -> None:
            accounts = current_domain.repository_for(Account)
            account = accounts.get_or_none(command.account_id) or Account(id=command.account_id)
            account.balance += command.amount
            accounts.add(account)

    @domain.subscriber(**options)
    class Payments:
        def __call__(self, payload: dict[str, Any]) -> None:
            message: Any = current_message()
            till.seen.append((payload["id"], message.id))
            current_domain.process(Book(account_id="till", amount=int(payload["amount"])))
            if payload["id"] in till.fails:
                raise ValueError(f"cannot book {payload['id']}")

    domain.init()
    till = Till(domain, Account)
    return till


@dataclass
class Foreign:
    """Whoever writes the stream: `send` adds an entry with a payload and returns its id."""

    till: Till
    send: Callable[[dict[str, Any]], str]
    server: Redis[bytes] | None


@pytest.fixture(params=["memory", "valkey", "another valkey"])
def foreign(request: pytest.FixtureRequest) -> Iterator[Foreign]:
    memory = request.param == "memory"
    config: dict[str, Any] = {
        "server": {"retry": {"base_delay": 0.05, "max_delay": 0.1}, "grace_period": 10.0},
        "brokers": {"default": {"provider": "memory"}},
        "event_processing": "async",
    }
    if not memory:
        config["databases"] = {"default": {"database_uri": request.getfixturevalue("database_url")}}
        config["brokers"] = {"default": {"uri": request.getfixturevalue("broker_url")}}
    url = None if memory else request.getfixturevalue("broker_url")
    if request.param == "another valkey":
        url = another(request)
        config["brokers"]["theirs"] = {"uri": url}
    till = build_till(config, "theirs" if request.param == "another valkey" else None)
    till.domain.database()
    server = None if url is None else Redis.from_url(url)

    def send(payload: dict[str, Any]) -> str:
        data = json.dumps(payload).encode()
        if server is not None:
            return server.xadd("payments", {"data": data}).decode()
        broker = till.domain.broker()
        broker.publish([("payments", data)])
        return broker.entries("payments", "-", 10_000)[-1][0]

    yield Foreign(till, send, server)
    till.stop()
    till.domain.close()
    if server is not None:
        server.close()


def another(request: pytest.FixtureRequest) -> str:
    number = next(request.getfixturevalue("_logical_databases"))
    url = str(request.getfixturevalue("redis_url"))
    url = f"{url.partition('?')[0]}?db={number}" if url.startswith("unix:") else f"{url.rpartition('/')[0]}/{number}"
    with Redis.from_url(url) as server:
        server.flushdb()
    return url


def test_entries_of_two_streams_are_two_messages_and_one_entry_is_always_the_same() -> None:
    ids = [entry_message_id(stream, "1-0") for stream in ("payments", "refunds", "payments")]
    assert (ids[0] == ids[2], ids[0] == ids[1]) == (True, False)


@pytest.mark.proves("@domain.subscriber")
def test_every_entry_is_handled_once_whoever_wrote_it_and_whenever(foreign: Foreign) -> None:
    till = foreign.till
    before = [foreign.send({"id": f"early-{number}", "amount": 1}) for number in range(3)]
    till.start()
    after = [foreign.send({"id": f"late-{number}", "amount": 10}) for number in range(3)]
    wait_for(lambda: till.balance() == 33, lambda: str(till.seen))
    assert [message for _, message in till.seen] == [entry_message_id("payments", each) for each in before + after]


def test_the_stream_stays_as_it_is_for_its_other_readers(foreign: Foreign) -> None:
    till = foreign.till
    till.start()
    for number in range(5):
        foreign.send({"id": f"p{number}", "amount": 1})
    wait_for(lambda: till.balance() == 5)
    name = "theirs" if "theirs" in till.domain.config.brokers else None
    broker = till.domain.broker(name)
    wait_for(lambda: broker.backlog([("payments", "Payments")]) == [0])
    assert broker.stream("payments").length == 5


def test_one_that_fails_is_retried_from_its_kept_bytes_and_its_effect_is_there_once(foreign: Foreign) -> None:
    till = foreign.till
    till.fails.add("bad")
    till.start()
    foreign.send({"id": "bad", "amount": 100})
    foreign.send({"id": "good", "amount": 1})
    wait_for(lambda: till.balance() == 1)
    if foreign.server is not None:
        foreign.server.delete("payments")
    till.fails.clear()
    wait_for(lambda: till.balance() == 101)
    wait_for(lambda: till.failures(FailureState.WAITING) == 0)


def test_one_that_fails_for_good_is_a_dead_letter_that_can_be_replayed(foreign: Foreign) -> None:
    till = foreign.till
    till.fails.add("bad")
    till.start()
    entry_id = foreign.send({"id": "bad", "amount": 7})
    wait_for(lambda: till.failures(FailureState.DEAD) == 1)
    letters = DeadLetters(till.domain)
    (letter,) = letters.find(FailureFilter(state=FailureState.DEAD))
    assert (letter.failure.handler, letter.failure.stream, letter.failure.original_id) == (
        "Payments",
        "payments",
        entry_id,
    )
    assert json.loads(letter.failure.raw or b"") == {"id": "bad", "amount": 7}
    assert till.balance() == 0
    broker = till.domain.broker()
    wait_for(lambda: broker.stream("payments:dlq").length == 1)

    till.fails.clear()
    settled = letters.replay([letter])
    assert (len(settled.succeeded), till.balance()) == (1, 7)


@pytest.mark.parametrize("poison", [b"", b"\xff\x00", b"[1, 2]", b'"text"', b"{", b'{"a": NaN}'])
def test_what_is_no_json_object_is_quarantined_with_its_bytes_and_holds_up_nothing(
    foreign: Foreign, poison: bytes
) -> None:
    if foreign.server is None:
        foreign.till.domain.broker().publish([("payments", poison)])
    else:
        foreign.server.xadd("payments", {"data": poison})
    till = foreign.till
    till.start()
    foreign.send({"id": "good", "amount": 1})
    wait_for(lambda: till.balance() == 1)
    (letter,) = DeadLetters(till.domain).find(FailureFilter())
    assert (letter.failure.state, letter.failure.error_type) == (FailureState.DEAD, "DeserializationError")
    assert letter.failure.raw == poison


def test_an_entry_in_fields_of_its_own_is_handed_over_as_these(foreign: Foreign) -> None:
    if foreign.server is None:
        pytest.skip("a broker in memory has nobody else's entries")
    foreign.server.xadd("payments", {"id": "plain", "amount": "3"})
    foreign.till.start()
    wait_for(lambda: foreign.till.balance() == 3)


def test_a_copy_after_the_group_was_lost_changes_nothing(foreign: Foreign) -> None:
    if foreign.server is None:
        pytest.skip("nobody destroys groups in memory")
    till = foreign.till
    till.start()
    for number in range(5):
        foreign.send({"id": f"p{number}", "amount": 1})
    wait_for(lambda: till.balance() == 5)
    foreign.server.xgroup_destroy("payments", "Payments")
    foreign.send({"id": "p5", "amount": 1})
    wait_for(lambda: till.balance() == 6)
    assert len(till.seen) == 6


def test_what_was_handled_is_noted_for_as_long_as_its_entry_is_there(foreign: Foreign) -> None:
    if foreign.server is None:
        pytest.skip("nobody trims a stream in memory")
    till = foreign.till
    till.start()
    for number in range(4):
        foreign.send({"id": f"p{number}", "amount": 1})
        time.sleep(0.002)  # a place of its own for each
    wait_for(lambda: till.balance() == 4)
    till.stop()
    housekeeping = Recovering(till.domain).housekeeping("default")
    assert housekeeping.sweep(threading.Event()).inbox == 0
    foreign.server.xtrim("payments", maxlen=1, approximate=False)
    assert housekeeping.sweep(threading.Event()).inbox == 3
    foreign.server.xgroup_destroy("payments", "Payments")
    till.start()
    foreign.send({"id": "p4", "amount": 1})
    wait_for(lambda: till.balance() == 5)
    assert len(till.seen) == 5


def test_status_knows_the_foreign_stream(foreign: Foreign) -> None:
    till = foreign.till
    till.start()
    foreign.send({"id": "p", "amount": 1})
    wait_for(lambda: till.balance() == 1)
    wait_for(lambda: all(report.drained for report in lane_reports(till.domain)))
    (report,) = [report for report in lane_reports(till.domain) if report.stream == "payments"]
    assert ([group.handler for group in report.groups], report.lag, report.dead) == (["Payments"], 0, 0)
