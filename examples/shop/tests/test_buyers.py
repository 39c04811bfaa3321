"""Two buyers, and one of what they want."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from examples.shop.tests.conftest import Store

from shop.domain import shop


def test_of_two_buyers_at_once_one_gets_the_last_and_the_other_is_charged_nothing(store: Store) -> None:
    for number in range(5):
        store.stock(f"lamp-{number}", 1)
        starting = threading.Barrier(2)

        def buy(who: str, sku: str = f"lamp-{number}", starting: threading.Barrier = starting) -> None:
            with shop.domain_context():
                starting.wait()
                store.order(f"{sku}-{who}", sku)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(buy, ["ann", "bob"]))
        store.hear()
        orders = [f"lamp-{number}-{who}" for who in ("ann", "bob")]
        assert sorted(store.status(order_id) for order_id in orders) == ["cancelled", "shipped"]
        assert sorted(str(store.payment(order_id)) for order_id in orders) == ["None", "captured"]
        assert store.shelf(f"lamp-{number}") == (0, 0)
