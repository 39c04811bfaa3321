"""To brokers beyond the domain: each aggregate's events in order, and none lost, whatever the broker does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.support.orders import build_orders
from tests.support.trade import Shop, build_shop

from protean.adapters.memory.broker import MemoryBroker
from protean.clock import utc_now
from protean.deliver import publishing
from protean.deliver.activity import State
from protean.deliver.publishing import PublishingRelay
from protean.domain.publishing import publishing_relay
from protean.exceptions import BrokerError, BrokerUnavailableError
from protean.priority import Priority

STREAM = "order:published"


class MoodyBroker(MemoryBroker):
    """A broker in memory that can be away, after so many commands, and refuses payloads naming what it dislikes."""

    away_after: int | None = None
    dislikes = b"nothing at all"
    fed: list[int]

    def feed(self, stream: str, payloads: Sequence[bytes], keep: int) -> None:
        self.fed = [*getattr(self, "fed", []), len(payloads)]
        if self.away_after is not None:
            self.away_after -= 1
            if self.away_after < 0:
                raise BrokerUnavailableError("nobody there")
        if any(self.dislikes in payload for payload in payloads):
            raise BrokerError("refused\0")
        super().feed(stream, payloads, keep)

    def events(self) -> list[tuple[str, int]]:
        """Order and sequence of everything on the stream."""
        payloads = [json.loads(fields["data"]) for _, fields in self.entries(STREAM, "-", 10_000)]
        return [(payload["subject"], int(payload["sequence"])) for payload in payloads]


@pytest.fixture
def shop(stored: dict[str, Any]) -> Iterator[Shop]:
    brokers = {**stored["brokers"], "partners": {"provider": "memory"}}
    shop = build_shop({**stored, "brokers": brokers, "outbox": {"external_brokers": ["partners"]}})
    yield shop
    shop.domain.close()


@pytest.fixture
def broker() -> MoodyBroker:
    return MoodyBroker()


def relay(shop: Shop, broker: MoodyBroker) -> PublishingRelay:
    publications = shop.domain.database().publications
    return publishing_relay(shop.domain.name, shop.domain.config, publications, broker, "partners")


def test_only_what_is_declared_as_published_leaves_the_domain(shop: Shop, broker: MoodyBroker) -> None:
    shop.place("a")
    shop.change("a", 2)
    relay(shop, broker).empty()
    assert broker.events() == [("a", 0), ("a", 2), ("a", 3)]  # 1 is an audit
    assert shop.domain.database().publications.count() == []
    assert {count.broker for count in shop.domain.database().outbox.count()} == {"default"}


@pytest.mark.parametrize("sourced", [True, False])
def test_facts_leave_the_domain_in_order_when_their_aggregate_says_so(
    stored: dict[str, Any], broker: MoodyBroker, sourced: bool
) -> None:
    brokers = {**stored["brokers"], "partners": {"provider": "memory"}}
    config = {**stored, "brokers": brokers, "outbox": {"external_brokers": ["partners"]}}
    orders = build_orders(config, sourced=sourced, facts=True)
    one = publishing_relay("shop", orders.domain.config, orders.domain.database().publications, broker, "partners")
    broker.dislikes = b'"subject": "bad"'
    with orders.domain.domain_context():
        for order in ("good", "bad"):
            orders.place(order)
            orders.add(order, "2.50")
            orders.close(order)
    one.empty()
    entries = broker.entries("order-fact:published", "-", 99)
    told = [json.loads(fields["data"]) for _, fields in entries]
    assert [(each["subject"], int(each["sequence"])) for each in told] == [("good", 0), ("good", 1), ("good", 2)]
    assert {(each["source"], each["type"]) for each in told} == {("/shop/order-fact", "shop.OrderFactEvent")}
    assert [(each["data"]["standing"], each["data"]["total"]) for each in told] == [
        ("open", "0"), ("open", "2.50"), ("closed", "2.50"),
    ]  # fmt: skip
    assert broker.events() == []  # its other events are not published
    (count,) = orders.domain.database().publications.count()
    assert (count.category, count.rows, count.refused) == ("order-fact", 3, 1)
    assert [each["id"] for each in told] == [each.id for each in orders.domain.event_store.read("order-fact-good")]
    orders.domain.close()


def test_a_low_priority_changes_nothing_about_the_order(shop: Shop, broker: MoodyBroker) -> None:
    shop.place("a")
    shop.change("a", priority=Priority.LOW)
    shop.change("a", priority=Priority.CRITICAL)
    relay(shop, broker).empty()
    assert broker.events() == [("a", 0), ("a", 2), ("a", 3)]


def test_what_is_refused_holds_up_its_own_aggregate_and_is_tried_for_ever(
    shop: Shop, broker: MoodyBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.dislikes = b'"subject": "bad"'
    shop.place("good")
    shop.place("bad")
    shop.change("good", 2)
    shop.change("bad", 2)
    one = relay(shop, broker)
    one.empty()
    assert broker.events() == [("good", 0), ("good", 2), ("good", 3)]
    (count,) = shop.domain.database().publications.count()
    assert (count.rows, count.refused, one.activity.state) == (3, 1, State.IDLE)
    shop.change("bad")
    one.empty()
    assert len(broker.events()) == 3  # its time has not come
    monkeypatch.setattr(publishing, "utc_now", lambda: utc_now() - timedelta(days=1))  # at once, from here on
    broker.dislikes = b"nothing at all"
    _wait_until(lambda: _emptied(one, shop))
    assert broker.events()[3:] == [("bad", 0), ("bad", 2), ("bad", 3), ("bad", 4)]


def test_a_broker_that_goes_away_in_the_middle_costs_copies_at_most(shop: Shop, broker: MoodyBroker) -> None:
    for number in range(4):
        shop.place(f"order-{number}")
        shop.change(f"order-{number}", 3)
    one = relay(shop, broker)
    broker.away_after = 0
    with pytest.raises(BrokerUnavailableError):
        one.empty()
    assert shop.domain.database().publications.count()[0].rows == 16
    broker.away_after = None
    one.empty()
    for number in range(4):
        assert [place for order, place in broker.events() if order == f"order-{number}"] == [0, 2, 3, 4]


def test_what_went_out_before_the_broker_went_away_is_not_sent_again(
    shop: Shop, broker: MoodyBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "CHUNK_BYTES", 1)  # a command an event
    shop.place("a")
    shop.change("a", 9)
    broker.away_after = 4
    with pytest.raises(BrokerUnavailableError):
        relay(shop, broker).empty()
    assert len(broker.events()) == 4
    broker.away_after = None
    relay(shop, broker).empty()
    assert [place for _, place in broker.events()] == [0, *range(2, 11)]


def test_a_running_relay_says_what_it_waits_for_and_goes_on_by_itself(
    shop: Shop, broker: MoodyBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "BACKOFF_LAST", 0.2)
    broker.away_after = 0
    one, stopping = relay(shop, broker), threading.Event()
    thread = threading.Thread(target=one.run, args=[stopping], daemon=True)
    thread.start()
    shop.place("a")
    shop.change("a", 5)
    one.wake()
    _wait_until(lambda: one.activity.state is State.WAITING)
    assert "the broker partners, nothing else does: nobody there" in one.activity.detail
    _wait_until(lambda: len(broker.fed) > 2)
    assert broker.fed[1:] == [1] * (len(broker.fed) - 1)  # one row is enough to find out
    broker.away_after = None
    _wait_until(lambda: len(broker.events()) == 6)
    _wait_until(lambda: one.activity.state is State.IDLE)
    stopping.set()
    one.wake()
    thread.join()


def test_a_domain_without_a_server_publishes_right_after_its_commit() -> None:
    config = {"brokers": {"partners": {"provider": "memory"}}, "outbox": {"external_brokers": ["partners"]}}
    shop = build_shop(config)
    shop.place("a")
    shop.change("a")
    entries = shop.domain.broker("partners").entries(STREAM, "-", 9)
    assert [json.loads(fields["data"])["type"] for _, fields in entries] == ["shop.OrderPlaced", "shop.OrderChanged"]
    shop.domain.close()


def _emptied(one: PublishingRelay, shop: Shop) -> bool:
    one.empty()
    return shop.domain.database().publications.count() == []


def _wait_until(done: Callable[[], bool]) -> None:
    for _ in range(2000):
        if done():
            return
        time.sleep(0.005)
    raise AssertionError("waited in vain")
