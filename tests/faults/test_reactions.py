"""What domains do in reaction to others, under kill -9, copies, and brokers that are away or forget: each thing once.

Published events from a shop to a warehouse, over a broker of somebody else's; commands that are carried out later; and
processes that wake up by themselves.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from tests.faults.conftest import PATIENCE, Processes, configured
from tests.faults.lossy_broker import LossyBroker
from tests.faults.test_cluster_rule import assert_fit, heard
from tests.server.test_published_events import own_database
from tests.server.test_subscribers import another
from tests.support import fulfillment
from tests.support.trade import Shop, Warehouse, build_shop, build_warehouse

from protean.priority import Priority
from protean.write.command_results import CommandState

APP = "tests.faults.reactions_app:domain"
STREAM = "order:published"


@dataclass
class Servers(Processes):
    """Server processes, each told once where to die."""

    folder: Path = field(kw_only=True)

    def serve(self, name: str, config: dict[str, Any], *deaths: str) -> None:
        once = self.folder / f"deaths-of-{name}"
        once.mkdir()
        environment = {"PROTEAN_CRASH_AT": ",".join(deaths), "PROTEAN_CRASH_ONCE": str(once)}
        self.run(APP, REACTIONS_CONFIG=json.dumps(config), REACTIONS_DOMAIN=name, **environment)

    def dead(self, name: str) -> set[str]:
        return {token.name for token in (self.folder / f"deaths-of-{name}").iterdir()}

    def wait_for(self, done: Callable[[], bool], complaint: Callable[[], object] = lambda: "") -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, f"waited in vain: {complaint()}\n{self.last_words(2_000)}"
            time.sleep(0.05)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers({}, tmp_path / "server.log", folder=tmp_path)
    yield servers
    servers.kill_all()


@dataclass
class Trade:
    shop: Shop
    warehouse: Warehouse
    partners: LossyBroker
    configs: dict[str, dict[str, Any]]


@pytest.fixture
def trade(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trade]:
    folder = tmp_path / "partners"
    folder.mkdir()
    with ExitStack() as stack:
        partners = LossyBroker(folder)
        partners.start()
        stack.callback(partners.kill)
        configs = {}
        for name in ("shop", "warehouse"):
            configs[name] = configured(own_database(request), another(request), base_delay=0.05, max_delay=0.2)
            configs[name]["brokers"]["partners"] = {"uri": partners.url}
        configs["shop"]["outbox"] = {"external_brokers": ["partners"]}
        trade = Trade(build_shop(configs["shop"]), build_warehouse(configs["warehouse"]), partners, configs)
        for each in (trade.shop.domain, trade.warehouse.domain):
            stack.callback(each.close)
            each.database()
        yield trade


def test_published_events_come_in_order_and_have_their_effect_once_whoever_dies_or_is_away(
    trade: Trade, servers: Servers
) -> None:
    shop, warehouse, places = trade.shop, trade.warehouse, list[int]()
    orders = [f"o{number}" for number in range(6)]

    def change(times: int) -> None:
        first = places[-1] if places else 1
        for order in orders:
            if not places:
                shop.place(order)
            shop.change(order, times)
        places.extend(([] if places else [0]) + [*range(first + 1, first + 1 + times)])

    def arrived() -> bool:
        # What a dead process had in hand is handled when it is known to be dead, and later ones meanwhile.
        return all(sorted(warehouse.sequences(order)) == places for order in orders)

    def wait(done: Callable[[], bool] = arrived) -> None:
        servers.wait_for(done, lambda: ({order: warehouse.sequences(order) for order in orders}, places))

    deaths = {
        "shop": ("relay.added:2@published", "relay.marked:3@published"),
        "warehouse": ("sub.mid_handler:4@primary", "sub.committed:9@primary"),
    }
    with Redis.from_url(trade.partners.url) as admin, heard(trade.partners.url, admin) as commands:
        for name, orders_to_die in deaths.items():
            servers.serve(name, trade.configs[name], *orders_to_die)
        while any(servers.dead(name) != set(points) for name, points in deaths.items()):
            change(2)
            time.sleep(0.2)
            assert len(places) < 400, (servers.dead("shop"), servers.dead("warehouse"))
        wait()
        assert_fit(admin, commands, capped={STREAM})
        told = [json.loads(fields["data"]) for _, fields in shop.domain.broker("partners").entries(STREAM, "-", 10_000)]
        for order in orders:  # copies come later than what they are copies of
            mine = dict.fromkeys(int(each["sequence"]) for each in told if each["subject"] == order)
            assert list(mine) == places
        copies = [fields["data"] for _, fields in shop.domain.broker("partners").entries(STREAM, "-", 10_000)]
    warehouse.domain.broker("partners").publish([(STREAM, each) for each in copies[::5]])

    trade.partners.kill()
    change(2)
    (counts,) = shop.domain.registry.projections
    rows = shop.domain.repository_for(counts)
    servers.wait_for(  # inside, nobody waits for the broker that is away
        lambda: all(rows.get(order).changes == places[-1] - 1 for order in orders)
    )
    assert sum(each.rows for each in shop.domain.database().publications.count()) >= 2 * len(orders)
    trade.partners.start()
    wait()

    trade.partners.flush()
    change(2)
    wait()
    assert shop.domain.database().publications.count() == []
    assert servers.stop() == [0, 0]


def test_commands_and_timeouts_have_their_effect_once_whoever_dies_or_forgets(
    servers: Servers, database_url: str, broker_url: str
) -> None:
    config = configured(database_url, broker_url, base_delay=0.05, max_delay=0.2)
    shop = fulfillment.build_shop(config)
    shop.domain.database()
    deaths = ("sub.mid_handler:3@primary", "sub.committed:6@primary", "sub.committed:2@backfill")
    accepted: list[str] = []

    def send(number: int) -> None:
        accepted.append(
            shop.domain.process(
                shop.Place(order_id=f"o{len(accepted)}"),
                asynchronous=True,
                priority=Priority.LOW if number % 2 else Priority.NORMAL,
            )
        )

    def over() -> bool:
        processes = [shop.found(f"o{number}") for number in range(len(accepted))]
        return all(each is not None and each.completed_at is not None for each in processes)

    with Redis.from_url(broker_url) as admin:
        with heard(broker_url, admin) as commands:
            servers.serve("fulfillment", config, *deaths)
            while servers.dead("fulfillment") != set(deaths):
                for number in range(4):
                    send(number)
                time.sleep(0.3)
                assert len(accepted) < 600, servers.dead("fulfillment")
            servers.wait_for(over)
            assert_fit(admin, commands)
        for number in range(10):
            send(number)
        admin.flushdb()
        for number in range(10):
            send(number)
    servers.wait_for(over)
    servers.wait_for(lambda: all(shop.domain.result_of(each).state is CommandState.DONE for each in accepted))
    for number in range(len(accepted)):
        order = shop.domain.repository_for(shop.order).get(f"o{number}")
        assert (order.status, order.reminders) == ("cancelled", 1), number
        assert list(shop.found(f"o{number}").told) == ["placed", "reminded", "given up"], number
        assert shop.timeouts(f"o{number}") == []
    assert servers.stop() == [0]
    shop.domain.close()
