"""A small shop: orders with lines, discounts within lines, two addresses, and a board whose tasks move about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from protean import Aggregate, Domain, Entity, Event, Index
from protean.fields import HasMany, HasOne, Integer, Reference, String
from protean.ports.query import Query


@dataclass
class Shop:
    domain: Domain
    Order: Any
    Line: Any
    Discount: Any
    Address: Any
    Shipped: Any
    Board: Any
    Task: Any
    Customer: Any

    @property
    def orders(self) -> Any:
        return self.domain.repository_for(self.Order)

    @property
    def boards(self) -> Any:
        return self.domain.repository_for(self.Board)

    def order(self, identity: str, *skus: str) -> Any:
        return self.orders.add(
            self.Order(id=identity, lines=[self.Line(id=f"{identity}{sku}", sku=sku) for sku in skus])
        )

    def skus(self, identity: str) -> str:
        """Of its lines, in order, as the database has them now."""
        return "".join(line.sku for line in self.orders.get(identity).lines)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """What is in a table, sorted by key."""
        found = next(each for each in self.domain.tables["default"] if each.name == table)
        transaction = self.domain.database().transaction()
        try:
            return [dict(row) for row in transaction.rows.select(Query(), found)]
        finally:
            transaction.rollback()

    def version(self, identity: str) -> int:
        return int(self.orders.get(identity)._version)


@contextmanager
def open_shop(config: dict[str, Any]) -> Iterator[Shop]:
    domain = Domain("shop", config=config)

    @domain.aggregate
    class Customer(Aggregate):
        email: str | None = String(unique=True, default=None, referenced_as="mail")

    @domain.aggregate(indexes=["note", Index("shop", "number", unique=True)])
    class Order(Aggregate):
        note: str | None = String(default=None)
        shop: str | None = String(default=None)
        number: int | None = Integer(default=None)
        lines = HasMany("Line")
        shipping = HasOne("Address")
        billing = HasOne("Address")
        customer = Reference(Customer)

    @domain.entity(part_of=Order, schema_name="order_line", indexes=[("sku",)])
    class Line(Entity):
        sku: str = String(required=True)
        quantity: int = Integer(default=1, min_value=1)
        serial: str | None = String(unique=True, default=None)
        discounts = HasMany("Discount")
        order = Reference(Order)

        def ship(self) -> None:
            self.raise_(Shipped(sku=self.sku))

    @domain.entity(part_of=Line)
    class Discount(Entity):
        percent: int = Integer(required=True)

    @domain.entity(part_of=Order)
    class Address(Entity):
        city: str = String(required=True)

    @domain.event(part_of=Order)
    class Shipped(Event):
        sku: str

    @domain.aggregate
    class Board(Aggregate):
        open = HasMany("Task")
        done = HasMany("Task")

    @domain.entity(part_of=Board)
    class Task(Entity):
        name: str = String(required=True)
        steps = HasMany("Task")

    domain.init()
    shop = Shop(domain, Order, Line, Discount, Address, Shipped, Board, Task, Customer)
    with domain.domain_context():
        yield shop
    domain.close()
