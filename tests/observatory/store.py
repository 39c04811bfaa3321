"""A store that one would like to look at: production, a migration on its way, and a few things that went wrong."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from math import sin
from typing import Any

from pydantic_core import to_json

from protean import Domain, current_domain, handle, on
from protean.fields import Float, Identifier, String
from protean.histogram import Histogram
from protean.server.engine import Engine
from protean.utils.processing import Priority, current_priority

#: Handlers by stream, with the seconds that each takes of a message.
HANDLERS = {
    "customer": {"CustomerDirectory": 0.0011, "LoyaltyTiers": 0.0014, "WelcomeMails": 0.0042},
    "order": {"Invoices": 0.0023, "OrderSummaries": 0.0012},
    "payment": {"FraudCheck": 0.0018},
}
#: Messages a second that production handles, by stream.
PRODUCTION = {"customer": 2.1, "order": 5.6, "payment": 4.8}
#: Minutes ago in which a migration ran, and messages a second of it.
EARLIER, NOW, MIGRATION = range(31, 45), range(7), 240.0


@dataclass
class Store:
    """`pace`: seconds that a projector takes of what is migrated. `broken`: what fails, fails."""

    domain: Domain
    Register: Any
    Place: Any
    Grade: Any
    pace: float = 0.02
    broken: bool = True
    _stopping: threading.Event = field(default_factory=threading.Event)
    _working: list[threading.Thread] = field(default_factory=list)
    _engines: list[Engine] = field(default_factory=list)

    def start(self) -> None:
        """An engine, in this process."""
        engine = Engine(self.domain)
        engine.start()
        self._engines.append(engine)

    def trade(self) -> None:
        """A few customers and orders a second, until the end."""
        working = threading.Thread(target=self._trade, daemon=True)
        working.start()
        self._working.append(working)

    def migrate(self, customers: int) -> None:
        """Give so many customers of old a tier: that many messages on the backfill lane."""
        self.domain.process_many(
            [self.Grade(customer_id=f"old-{number:05}", tier="gold") for number in range(customers)],
            priority=Priority.LOW,
        )

    def go_wrong(self) -> None:
        """Mails that bounce, and an order from where nobody knows the taxes."""
        for number in range(3):
            self.domain.process(
                self.Register(customer_id=f"cust-0{number}", name="Ann", email=f"ann{number}@down.test")
            )
        for number in range(2):
            self.domain.process(self.Place(order_id=f"ord-77{number}", country="XK", total=120.0))

    def stop(self) -> None:
        self._stopping.set()
        for working in self._working:
            working.join()
        for engine in self._engines:
            assert engine.finish()
        self.domain.close()

    def _trade(self) -> None:
        for number in itertools.count():
            if self._stopping.wait(0.2):
                return
            self.domain.process(self.Place(order_id=f"ord-{number:05}", country="FR", total=9.5 + number % 90))
            if not number % 3:
                name = f"cust-{number:05}"
                self.domain.process(self.Register(customer_id=name, name="Zoë", email=f"{name}@example.test"))

    def remember_an_hour(self) -> None:
        """Have the last hour been as such an hour is: what its engines would have left with the broker."""
        this = int(time.time() // 60)
        for ago in range(60):
            told = []
            for category, handlers in HANDLERS.items():
                wave = 1.0 + 0.18 * sin(ago / 5.0) + 0.06 * sin(ago * 1.7)
                rate = PRODUCTION[category] * wave
                told += [_minute(category, name, rate, 0.0031 + took, ago) for name, took in handlers.items()]
            if ago in EARLIER or ago in NOW:
                told.append(_minute("customer:backfill", "LoyaltyTiers", MIGRATION + 14 * sin(ago), 0.9, ago))
            self.domain.broker().write_minute("an earlier engine", this - ago, to_json(told), 7200.0)


def _minute(stream: str, handler: str, rate: float, latency: float, ago: int) -> dict[str, Any]:
    latencies, handlings = Histogram(), Histogram()
    times = max(1, round(rate * 60 / 20))
    for share in range(20):
        spread = 0.8 + 0.02 * share + (0.5 if share == 19 else 0.0) + 0.03 * sin(ago + share)
        latencies.add(latency * spread, times)
        handlings.add(latency * spread / 4, times)
    return {"stream": stream, "handler": handler, "latency": latencies.to_plain(), "handling": handlings.to_plain()}


def build_store(config: dict[str, Any]) -> Store:  # noqa: C901  # a list of declarations, not a decision
    """A fresh domain; several over the same database are several processes' worth."""
    domain = Domain("store", config=config)

    @domain.event(part_of="Customer")
    class CustomerRegistered:
        customer_id: Identifier(required=True)
        name: String(max_length=100)
        email: String(max_length=254)

    @domain.event(part_of="Customer")
    class CustomerGraded:
        customer_id: Identifier(required=True)
        tier: String(max_length=20)

    @domain.event(part_of="Order")
    class OrderPlaced:
        order_id: Identifier(required=True)
        country: String(max_length=2)
        total: Float(default=0.0)

    @domain.event(part_of="Payment")
    class PaymentCaptured:
        payment_id: Identifier(required=True)
        amount: Float(default=0.0)

    @domain.aggregate
    class Customer:
        name: String(max_length=100)
        tier: String(max_length=20)

    @domain.aggregate
    class Order:
        total: Float(default=0.0)

    @domain.aggregate
    class Payment:
        amount: Float(default=0.0)

    @domain.command(part_of=Customer)
    class RegisterCustomer:
        customer_id: Identifier(required=True)
        name: String(max_length=100)
        email: String(max_length=254)

    @domain.command(part_of=Customer)
    class GradeCustomer:
        customer_id: Identifier(required=True)
        tier: String(max_length=20)

    @domain.command(part_of=Order)
    class PlaceOrder:
        order_id: Identifier(required=True)
        country: String(max_length=2)
        total: Float(default=0.0)

    @domain.command(part_of=Payment)
    class CapturePayment:
        payment_id: Identifier(required=True)
        amount: Float(default=0.0)

    @domain.command_handler(part_of=Customer)
    class Customers:
        @handle(RegisterCustomer)
        def register(self, command: Any) -> None:
            customer = Customer(id=command.customer_id, name=command.name)
            customer.raise_(CustomerRegistered(customer_id=customer.id, name=command.name, email=command.email))
            current_domain.repository_for(Customer).add(customer)

        @handle(GradeCustomer)
        def grade(self, command: Any) -> None:
            customer = Customer(id=command.customer_id, tier=command.tier)
            customer.raise_(CustomerGraded(customer_id=customer.id, tier=command.tier))
            current_domain.repository_for(Customer).add(customer)

    @domain.command_handler(part_of=Order)
    class Orders:
        @handle(PlaceOrder)
        def place(self, command: Any) -> None:
            order = Order(id=command.order_id, total=command.total)
            order.raise_(OrderPlaced(order_id=order.id, country=command.country, total=command.total))
            current_domain.repository_for(Order).add(order)

    @domain.command_handler(part_of=Payment)
    class Payments:
        @handle(CapturePayment)
        def capture(self, command: Any) -> None:
            payment = Payment(id=command.payment_id, amount=command.amount)
            payment.raise_(PaymentCaptured(payment_id=payment.id, amount=command.amount))
            current_domain.repository_for(Payment).add(payment)

    @domain.projection
    class Directory:
        customer_id: Identifier(identifier=True)
        tier: String(max_length=20)

    @domain.projection
    class Tier:
        customer_id: Identifier(identifier=True)
        tier: String(max_length=20)

    @domain.projection
    class OrderSummary:
        order_id: Identifier(identifier=True)
        total: Float(default=0.0)

    @domain.projector(projector_for=Directory, aggregates=[Customer])
    class CustomerDirectory:
        @on(CustomerRegistered)
        def registered(self, event: Any) -> None:
            current_domain.repository_for(Directory).add(Directory(customer_id=event.customer_id))

    @domain.projector(projector_for=Tier, aggregates=[Customer])
    class LoyaltyTiers:
        @on(CustomerGraded)
        def graded(self, event: Any) -> None:
            if current_priority() < 0:
                time.sleep(store.pace)
            current_domain.repository_for(Tier).add(Tier(customer_id=event.customer_id, tier=event.tier))

    @domain.event_handler(part_of=Customer)
    class WelcomeMails:
        @handle(CustomerRegistered)
        def registered(self, event: Any) -> None:
            if store.broken and event.email.endswith("@down.test"):
                raise ConnectionRefusedError(f"smtp.example.test:587 refused the connection for {event.customer_id}")

    @domain.projector(projector_for=OrderSummary, aggregates=[Order])
    class OrderSummaries:
        @on(OrderPlaced)
        def placed(self, event: Any) -> None:
            current_domain.repository_for(OrderSummary).add(OrderSummary(order_id=event.order_id, total=event.total))

    @domain.event_handler(part_of=Order)
    class Invoices:
        @handle(OrderPlaced)
        def placed(self, event: Any) -> None:
            if event.country == "XK" and store.broken:
                raise LookupError(f"no VAT rate for {event.country}, order {event.order_id}")
            current_domain.process(CapturePayment(payment_id=f"pay-{event.order_id}", amount=event.total))

    @domain.event_handler(part_of=Payment)
    class FraudCheck:
        @handle(PaymentCaptured)
        def captured(self, event: Any) -> None:
            """Nobody is suspicious here."""

    store = Store(domain, RegisterCustomer, PlaceOrder, GradeCustomer)
    domain.init()
    return store
