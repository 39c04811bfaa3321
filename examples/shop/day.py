#!/usr/bin/env python
"""A day in the shop: `python day.py --orders 200` starts a server, sends customers, and tells what became of them.

Every tenth card is declined, there is one lamp for everybody who wants it, somebody changes his mind, and one payment
does not come until nobody waits for it any more.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from shop.fulfilment import OrderFulfilment
from shop.inventory.stock import CountStock, ReceiveStock
from shop.money import euros
from shop.ordering.order import CancelOrder, Item, PlaceOrder
from shop.ordering.product import ListProduct
from shop.ordering.summary import OrderSummary
from shop.payments import acmepay
from shop.payments.payment import Payment, PaymentStatus
from shop.sales import ProductSales

from protean.exceptions import InvalidOperationError
from shop.domain import shop

HERE = Path(__file__).parent
#: What is sold, for how much, and how many there are of it.
GOODS = {"mug": ("9.50", 1_000), "plate": ("14.00", 1_000), "teapot": ("42.00", 1_000), "lamp": ("120.00", 1)}
#: What one customer after the other puts into his basket.
BASKETS = (("mug",), ("mug", "plate"), ("teapot",), ("plate", "lamp"), ("teapot", "mug"))
#: Seconds that this day's server waits for a payment. The real shop waits a quarter of an hour.
PATIENCE = 3
#: Seconds after which something is wrong with the shop, or with the machine.
CLOSING_TIME = 60.0


class Customer(NamedTuple):
    """Who wants what, and pays with which card."""

    order_id: str
    customer_id: str
    wants: tuple[str, ...]
    card: str


def main() -> None:
    parser = argparse.ArgumentParser(description="A day in the shop.")
    parser.add_argument("--orders", type=int, default=200, help="how many customers come, 10 or more")
    orders: int = parser.parse_args().orders
    if orders < 10:
        parser.error(f"--orders {orders}: on any day there are 10 customers at least")
    shop.init()
    with server(), shop.domain_context(tenant="shop.example"):
        live_through(uuid4().hex[:4], orders)
    shop.close()


def live_through(day: str, orders: int) -> None:
    """`day` begins the names of everything sold and ordered today, so that an earlier day is not in the way."""
    say = clock()
    say(f"The server runs. On the shelves: {fill_the_shelves(day)}")
    customers = list(crowd(day, orders))
    with ThreadPoolExecutor(4) as pool:
        requests = sum(pool.map(order, customers))
    say(f"{orders} customers have sent {requests} requests: who hears nothing asks again")
    say(change_of_mind(customers[-1]))
    say(f"Somebody has counted the mugs: {stocktaking(f'{day}-mug', 990):+}")
    fulfilments = shop.repository_for(OrderFulfilment).query.filter(
        order_id__startswith=day, completed_at__isnull=False
    )
    wait_for(lambda: fulfilments.count() == orders, lambda: f"{fulfilments.count()} of {orders} orders have ended")
    say("Every order has come to its end")
    silent = next(customer for customer in customers if customer.card == "silent")
    say(late_money(silent.order_id))
    wait_for(lambda: shown(day) == orders, lambda: f"{shown(day)} of {orders} orders are shown with their end")
    report(day)


def fill_the_shelves(day: str) -> str:
    """Many commands at once: one transaction for two hundred of them."""
    commands: list[object] = []
    for name, (price, count) in GOODS.items():
        commands.append(ListProduct(sku=f"{day}-{name}", name=name, price=euros(price)))
        commands.append(ReceiveStock(sku=f"{day}-{name}", quantity=count))
    done = shop.process_many(commands, batch_size=200)
    if done.failed:
        raise done.failed[0].error
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, (_, count) in GOODS.items())


def crowd(day: str, orders: int) -> Iterator[Customer]:
    for number, basket in zip(range(orders), itertools.cycle(BASKETS), strict=False):
        card = "silent" if number == 2 else "declined" if number % 10 == 7 else "ok"
        yield Customer(f"{day}-{number:04}", f"customer-{number % 20}", tuple(f"{day}-{each}" for each in basket), card)


def order(customer: Customer) -> int:
    """Every fifth customer hears nothing and asks again, under the same key. How many requests that took."""
    command = PlaceOrder(
        order_id=customer.order_id,
        customer_id=customer.customer_id,
        items=[Item(sku=sku, quantity=1) for sku in customer.wants],
        card=customer.card,
    )
    requests = 2 if customer.order_id.endswith(("0", "5")) else 1
    for _ in range(requests):
        with shop.domain_context(tenant="shop.example"):  # a thread has no context but its own
            shop.process(command, idempotency_key=f"order {customer.order_id}")
    return requests


def change_of_mind(customer: Customer) -> str:
    try:
        shop.process(CancelOrder(order_id=customer.order_id, reason="the customer has changed his mind"))
    except InvalidOperationError as error:
        return f"The last one wants to cancel, too late: {error}"
    return f"The last one, {customer.order_id}, has cancelled"


def stocktaking(sku: str, counted: int) -> int:
    """A command that is written down now and carried out by the server when it has time; its result is asked for."""
    command_id = shop.process(CountStock(sku=sku, counted=counted), asynchronous=True)
    wait_for(lambda: shop.result_of(command_id).state == "done", lambda: str(shop.result_of(command_id)))
    difference: int = shop.result_of(command_id).result
    return difference


def late_money(order_id: str) -> str:
    """Who was given up pays after all: the money goes back."""
    acmepay.remember(order_id)
    payments = shop.repository_for(Payment)
    wait_for(
        lambda: payments.get(order_id).status is PaymentStatus.REFUNDED,
        lambda: f"the payment of {order_id} is {payments.get(order_id).status.value}",
    )
    return f"The money for {order_id} has come after all, too late, and gone back"


def shown(day: str) -> int:
    """How many orders their customers see the end of: the read model follows a moment later."""
    return shop.view_for(OrderSummary).count(order_id__startswith=day, status__in=["shipped", "cancelled"])


def report(day: str) -> None:
    mine = list(shop.view_for(OrderSummary).find(order_id__startswith=day))
    ends = Counter(
        summary.status if summary.reason is None else f"{summary.status}: {_in_general(summary.reason, day)}"
        for summary in mine
    )
    print("\nWhat became of the orders")
    for end, count in ends.most_common():
        print(f"  {count:5}  {end}")
    sales = list(shop.view_for(ProductSales).find(sku__startswith=day).order_by("-revenue"))
    print("\n  product      sold  missed    left  reserved      revenue")
    for row in sales:
        print(f"  {row.name:10}{row.sold:7}{row.missed:8}{row.on_hand:8}{row.reserved:10}{row.revenue:13.2f}")
    payments = shop.repository_for(Payment).query.filter(order_id__startswith=day, status="captured")
    taken = sum((payment.amount.amount for payment in payments), Decimal(0))
    earned = sum((row.revenue for row in sales), Decimal(0))
    print(f"\n  {taken:.2f} EUR were taken and kept; what was sold, was sold for {earned:.2f} EUR")


def _in_general(reason: str, day: str) -> str:
    """Without the amounts, to be counted."""
    return reason.partition(" for ")[0].partition(":")[0].replace(f"{day}-", "the ")


@contextmanager
def server() -> Iterator[None]:
    """`protean server` beside this process, ended in good order afterwards. Its log is day.log."""
    command = [str(Path(sys.executable).with_name("protean")), "server", "--domain=shop.domain"]
    with (HERE / "day.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=HERE,
            env={**os.environ, "PAYMENT_PATIENCE": str(PATIENCE)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,  # Ctrl-C reaches this script alone, which ends the server
        )
    try:
        wait_for(lambda: process.poll() is not None or _serves(), lambda: "the server has not started")
        if process.poll() is not None:
            sys.exit("The server has ended; day.log says why")
        yield
    finally:
        process.terminate()
        process.wait(CLOSING_TIME)


def _serves() -> bool:
    """Both of its processes, one a lane, say so."""
    return (HERE / "day.log").read_text().count(" serves ") == 2


def clock() -> Callable[[str], None]:
    """Says things, with the seconds since."""
    began = time.monotonic()
    return lambda text: print(f"{time.monotonic() - began:5.1f} s  {text}", flush=True)


def wait_for(done: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    until = time.monotonic() + CLOSING_TIME
    while not done():
        if time.monotonic() > until:
            sys.exit(f"It is closing time, and {otherwise()}; day.log says what the server did")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
