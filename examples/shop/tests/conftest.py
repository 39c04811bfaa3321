"""The shop over every kind of database: without an engine, handlers running at commit, or with one beside the test."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import (  # noqa: F401  # fixtures are found by their names
    _logical_databases,
    broker_url,
    database_url,
    embedded_home,
    postgresql_url,
    redis_url,
)

EXAMPLE = Path(__file__).parents[1]
sys.path.append(str(EXAMPLE))  # the example is run in its folder, the tests are not

from shop.fulfilment import OrderFulfilment  # noqa: E402  # as above
from shop.inventory.stock import ReceiveStock, StockItem  # noqa: E402  # as above
from shop.money import euros  # noqa: E402  # as above
from shop.ordering.order import Item, Order, PlaceOrder  # noqa: E402  # as above
from shop.ordering.product import ListProduct  # noqa: E402  # as above
from shop.payments import acmepay  # noqa: E402  # as above
from shop.payments.payment import Payment, PaymentStatus  # noqa: E402  # as above
from shop.payments.provider import AcmepayNews  # noqa: E402  # as above

from protean.config import Config  # noqa: E402  # as above
from protean.server.engine import Engine  # noqa: E402  # as above
from shop.domain import shop  # noqa: E402  # not before it can be found

#: Seconds in which everything must have been handled. Generous: shared machines stand still at times.
PATIENCE = 60.0
KINDS = ("memory", "sqlite", "postgresql")


@dataclass
class Store:
    """The shop as a test sees it, over `config`. `heard` counts the provider's news that were handed over."""

    config: dict[str, Any]
    heard: int = 0

    def stock(self, sku: str, count: int, price: str = "10.00") -> None:
        shop.process(ListProduct(sku=sku, name=sku, price=euros(price)))
        if count:
            shop.process(ReceiveStock(sku=sku, quantity=count))

    def order(self, order_id: str, *skus: str, card: str = "ok", **options: Any) -> str:
        items = [Item(sku=sku, quantity=skus.count(sku)) for sku in dict.fromkeys(skus)]
        placed: str = shop.process(PlaceOrder(order_id=order_id, customer_id="ann", items=items, card=card), **options)
        return placed

    def hear(self) -> None:
        """Hand the provider's news over until there are none: what an engine does where there is one."""
        while news := shop.broker().entries(acmepay.NEWS, "-", 10_000)[self.heard :]:
            self.heard += len(news)
            for _, entry in news:
                AcmepayNews()(json.loads(entry["data"]))

    def status(self, order_id: str) -> str:
        status = shop.repository_for(Order).get(order_id).status
        return "none" if status is None else status.value

    def payment(self, order_id: str) -> str | None:
        payment = shop.repository_for(Payment).get_or_none(order_id)
        return None if payment is None else payment.status.value

    def shelf(self, sku: str) -> tuple[int, int]:
        """What is on hand, and how much of it is promised."""
        item = shop.repository_for(StockItem).get_or_none(sku)
        return (0, 0) if item is None else (item.on_hand, item.reserved)

    def ended(self) -> int:
        return shop.repository_for(OrderFulfilment).query.filter(completed_at__isnull=False).count()


def configuration(kind: str, request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
    uris = {"memory": "memory", "sqlite": f"sqlite:///{folder / 'shop.db'}"}
    uri = uris.get(kind) or request.getfixturevalue("database_url")
    return {
        "databases": {"default": {"database_uri": uri}},
        "brokers": {"default": {"provider": "memory"}},
        "event_processing": "sync",
        "server": {"retry": {"base_delay": 0.05, "max_delay": 0.2}, "grace_period": 10.0},
        "custom": {"payment_patience": "900"},
    }


@contextmanager
def opened(config: dict[str, Any]) -> Iterator[Store]:
    """The shop under another configuration than that of its file, and as its own again afterwards."""
    usual = shop.config
    shop.close()
    shop.config = Config.from_mapping(config, root=EXAMPLE)
    shop.init()
    try:
        with shop.domain_context():
            yield Store(config)
    finally:
        shop.close()
        shop.config = usual


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Handlers run right after each commit, on the same thread."""
    with opened(configuration(request.param, request, tmp_path)) as store:
        yield store


@pytest.fixture(params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An engine runs the handlers; PostgreSQL comes with a real broker."""
    config = configuration(request.param, request, tmp_path)
    config["event_processing"] = "async"
    if request.param == "postgresql":
        config["brokers"] = {"default": {"uri": request.getfixturevalue("broker_url")}}
    with opened(config) as store:
        engine = Engine(shop)
        engine.start()
        try:
            yield store
        finally:
            assert engine.finish()


def wait_for(done: Callable[[], bool], complaint: Callable[[], str] = lambda: "waited in vain") -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.02)


def taken() -> Any:
    """The money that was captured and not given back."""
    payments = shop.repository_for(Payment).query.all()
    return sum(payment.amount.amount for payment in payments if payment.status is PaymentStatus.CAPTURED)
