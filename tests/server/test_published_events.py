"""Two domains with nothing in common but a broker between them: what one tells, the other hears, each event once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from redis import Redis
from tests.server.conftest import wait_for
from tests.server.test_subscribers import another
from tests.support.trade import Shop, Warehouse, build_shop, build_warehouse

from protean.adapters.memory.broker import MemoryBroker
from protean.cli.outbox import tallied
from protean.clock import utc_now
from protean.deliver import publishing
from protean.domain import Domain
from protean.ports.broker import Broker
from protean.ports.progress import FailureFilter, FailureState
from protean.server import diagnosis
from protean.server.dead_letters import DeadLetters
from protean.server.engine import Engine

STREAM = "order:published"
SERVER = {"retry": {"base_delay": 0.05, "max_delay": 0.1, "max_retries": 2}, "grace_period": 10.0}


@dataclass
class Trade:
    """The shop, the warehouse, and the broker between them."""

    shop: Shop
    warehouse: Warehouse
    engines: list[Engine] = field(default_factory=list)

    def start(self, *domains: Domain) -> None:
        for domain in domains or (self.shop.domain, self.warehouse.domain):
            engine = Engine(domain)
            engine.start()
            self.engines.append(engine)

    def stop(self) -> None:
        for engine in self.engines:
            assert engine.finish()
        self.engines.clear()

    @property
    def between(self) -> Broker:
        return self.shop.domain.broker("partners")

    def published(self, order_id: str) -> list[int]:
        """The places of an order's events, as they are on the stream."""
        events = [json.loads(fields["data"]) for _, fields in self.between.entries(STREAM, "-", 10_000)]
        return [int(event["sequence"]) for event in events if event["subject"] == order_id]


@pytest.fixture
def options() -> dict[str, bool]:
    """Those of the shop's aggregate."""
    return {}


@pytest.fixture(params=["memory", "servers"])
def trade(request: pytest.FixtureRequest, options: dict[str, bool]) -> Iterator[Trade]:
    if request.param == "memory":
        yield from in_memory(options)
        return
    config: dict[str, dict[str, Any]] = {}
    partners = {"uri": another(request)}
    for name in ("shop", "warehouse"):  # a database and a broker of one's own each, and one broker for both
        config[name] = {
            "databases": {"default": {"database_uri": own_database(request)}},
            "brokers": {"default": {"uri": another(request)}, "partners": partners},
            "server": SERVER,
        }
    config["shop"]["outbox"] = {"external_brokers": ["partners"]}
    config["shop"]["server"] = {**SERVER, "priority_lanes": {"enabled": True}}
    yield from traded(build_shop(config["shop"], **options), build_warehouse(config["warehouse"]))


def in_memory(options: dict[str, bool]) -> Iterator[Trade]:
    config: dict[str, Any] = {
        "brokers": {"default": {"provider": "memory"}, "partners": {"provider": "memory"}},
        "event_processing": "async",
        "server": SERVER,
    }
    shop = build_shop({**config, "outbox": {"external_brokers": ["partners"]}}, **options)
    trade = Trade(shop, build_warehouse(config))
    shared = MemoryBroker()  # what is in memory is known to one domain alone, unless it is handed over
    for domain in (trade.shop.domain, trade.warehouse.domain):
        domain._connections._brokers["partners"] = shared
    yield trade
    trade.stop()
    trade.shop.domain.close()
    trade.warehouse.domain.close()


def traded(shop: Shop, warehouse: Warehouse) -> Iterator[Trade]:
    trade = Trade(shop, warehouse)
    for domain in (shop.domain, warehouse.domain):
        domain.database()
    yield trade
    trade.stop()
    shop.domain.close()
    warehouse.domain.close()


def own_database(request: pytest.FixtureRequest) -> str:
    """A database beside the test's own."""
    url = str(request.getfixturevalue("postgresql_url"))
    name = f"test_{uuid4().hex[:12]}"
    plain = url.replace("+psycopg", "")

    def administer(sql: str) -> None:
        with psycopg.connect(plain, autocommit=True) as admin:
            admin.execute(sql.encode())

    administer(f"CREATE DATABASE {name} TEMPLATE template0")
    request.addfinalizer(lambda: administer(f"DROP DATABASE {name} WITH (FORCE)"))
    head, _, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}{'?' + query if query else ''}"


@pytest.mark.proves("@domain.event(published=…)", "[outbox] external_brokers")
def test_what_one_domain_tells_the_other_hears_once_and_in_order(trade: Trade) -> None:
    shop, warehouse = trade.shop, trade.warehouse
    shop.place("before")  # nobody runs yet
    trade.start()
    for number in range(5):
        shop.place(f"o{number}")
        shop.change(f"o{number}", 3)
    wait_for(lambda: all(warehouse.sequences(f"o{number}") == [0, 2, 3, 4] for number in range(5)))
    wait_for(lambda: warehouse.sequences("before") == [0])
    first = next(each for each in warehouse.heard if each["subject"] == "before")
    assert (first["type"], first["source"], first["schemaversion"]) == ("shop.OrderPlaced", "/shop/order", 2)
    assert first["data"] == {"order_id": "before", "note": "née"}
    assert {each["type"] for each in warehouse.heard} == {"shop.OrderPlaced", "shop.OrderChanged"}
    assert set(warehouse.correlations) == {each["correlationid"] for each in warehouse.heard}
    assert shop.domain.database().publications.count() == []


@pytest.mark.proves("@domain.aggregate(published_facts=…)")
@pytest.mark.parametrize("options", [{"fact_events": True, "published_facts": True}], ids=["facts"])
def test_the_facts_of_one_domain_the_other_hears_once_and_in_order_beside_its_events(trade: Trade) -> None:
    shop, warehouse = trade.shop, trade.warehouse
    shop.place("before")  # nobody runs yet
    trade.start()
    for number in range(5):
        shop.place(f"o{number}")
        shop.change(f"o{number}", 3)
    wait_for(lambda: all(warehouse.mirrored(f"o{number}") == [0, 1, 2, 3] for number in range(5)))
    wait_for(lambda: all(warehouse.sequences(f"o{number}") == [0, 2, 3, 4] for number in range(5)))
    wait_for(lambda: warehouse.mirrored("before") == [0])
    entries = trade.between.entries("order-fact:published", "-", 10_000)
    trade.between.publish([("order-fact:published", entries[-1][1]["data"])])  # a copy, as after a crash
    shop.change("o0")
    wait_for(lambda: warehouse.mirrored("o0") == [0, 1, 2, 3, 4])
    wait_for(lambda: trade.between.backlog([("order-fact:published", "MirrorOfTheShop")]) == [0])
    assert [warehouse.mirrored(f"o{number}") for number in range(1, 5)] == [[0, 1, 2, 3]] * 4
    assert shop.domain.database().publications.count() == []


def test_an_event_that_is_published_twice_is_one_message_to_a_subscriber(trade: Trade) -> None:
    trade.start()
    trade.shop.place("a")
    wait_for(lambda: trade.warehouse.sequences("a") == [0])
    ((_, fields),) = trade.between.entries(STREAM, "-", 10)
    trade.between.publish([(STREAM, fields["data"])] * 2)  # as after a crash between publishing and forgetting
    trade.shop.change("a")
    wait_for(lambda: trade.warehouse.sequences("a") == [0, 2])
    wait_for(lambda: trade.between.backlog([(STREAM, "OrdersOfTheShop")]) == [0])
    assert len(trade.warehouse.heard) == 2


def test_a_copy_of_one_that_failed_is_the_same_failure_and_is_replayed_once(trade: Trade) -> None:
    trade.warehouse.fails.add("a")
    trade.start()
    trade.shop.place("a")
    letters = DeadLetters(trade.warehouse.domain)
    wait_for(lambda: letters.count(FailureFilter(state=FailureState.DEAD)) == 1)
    ((_, fields),) = trade.between.entries(STREAM, "-", 10)
    trade.between.publish([(STREAM, fields["data"])])
    wait_for(lambda: trade.between.backlog([(STREAM, "OrdersOfTheShop")]) == [0])
    assert letters.count(FailureFilter()) == 1
    trade.warehouse.fails.clear()
    settled = letters.replay(letters.find(FailureFilter(state=FailureState.DEAD)))
    assert (len(settled.succeeded), trade.warehouse.sequences("a")) == (1, [0])


def test_streams_have_the_brokers_prefix_and_forget_the_oldest(request: pytest.FixtureRequest) -> None:
    partners = {"uri": another(request), "stream_prefix": "corner:", "published_length": 100}
    config = {
        "databases": {"default": {"database_uri": own_database(request)}},
        "brokers": {"default": {"uri": another(request)}, "partners": partners},
        "outbox": {"external_brokers": ["partners"]},
        "server": SERVER,
    }
    shop = build_shop(config)
    shop.place("a")
    with shop.domain.domain_context():
        shop.change("a", 320)
    engine = Engine(shop.domain)
    engine.start()
    wait_for(lambda: shop.domain.database().publications.count() == [])
    assert engine.finish()
    with Redis.from_url(partners["uri"]) as client:
        assert client.keys("*order*") == [b"corner:order:published"]
        assert 100 <= client.xlen("corner:order:published") <= 200
        newest = json.loads(client.xrevrange("corner:order:published", count=1)[0][1][b"data"])
    assert int(newest["sequence"]) == 321
    shop.domain.close()


def test_a_commit_rings_and_need_not_be_found_by_a_poll(trade: Trade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "POLL_INTERVAL", 3600.0)
    trade.start(trade.shop.domain)
    trade.shop.place("a")
    wait_for(lambda: trade.published("a") == [0])


def test_what_waits_or_was_refused_is_told_with_what_to_do(trade: Trade, monkeypatch: pytest.MonkeyPatch) -> None:
    domain = trade.shop.domain
    trade.shop.place("a")
    trade.shop.change("a")
    assert tallied(domain)["default", "partners", "order", "published", "pending"].rows == 2
    assert told(domain) == []  # it has waited for a moment only
    monkeypatch.setattr(diagnosis, "PUBLISHED_WITHIN", -1.0)
    ((what, remedy, mend),) = told(domain)
    assert what.startswith("2 published events of order wait for partners, the oldest for 0 s")
    assert ("see that partners answers" in remedy, mend) == (True, None)

    with domain.database().publications.claim("partners", 1) as batch:
        assert batch is not None
        batch.refused(batch.rows[0].id, "WRONGTYPE", utc_now())
    assert tallied(domain)["default", "partners", "order", "published", "refused"].rows == 1
    ((what, remedy, mend),) = told(domain)
    assert what == "partners has refused 1 event of order: WRONGTYPE"

    outbox = domain.config.outbox.model_copy(update={"external_brokers": []})
    domain.config = domain.config.model_copy(update={"outbox": outbox})
    ((what, remedy, mend),) = told(domain)
    assert what == "2 published events of order wait for partners, which is no external broker any more"
    assert mend is not None
    mend()
    assert told(domain) == []


def told(domain: Domain) -> list[tuple[str, str, Callable[[], None] | None]]:
    found = [each for each in diagnosis.diagnose(domain) if each.trouble is diagnosis.Trouble.UNPUBLISHED]
    return [(each.what, each.remedy, each.mend) for each in found]
