"""Two domains of two companies: a shop that tells of its orders, and a warehouse that listens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from protean import Domain, current_domain, current_message, handle, on
from protean.fields import Identifier, Integer, String


@dataclass
class Shop:
    domain: Domain
    order: Any
    Place: Any
    Change: Any

    def place(self, order_id: str) -> None:
        self.domain.process(self.Place(order_id=order_id))

    def change(self, order_id: str, times: int = 1, **options: Any) -> None:
        for _ in range(times):
            self.domain.process(self.Change(order_id=order_id), **options)


@dataclass
class Warehouse:
    """`heard` has what the subscriber was called with, `fails` the orders at which it raises."""

    domain: Domain
    parcel: Any
    mirror: Any
    heard: list[dict[str, Any]] = field(default_factory=list)
    correlations: list[str | None] = field(default_factory=list)
    fails: set[str] = field(default_factory=set)

    def sequences(self, order_id: str) -> list[int]:
        """The places of the events of an order that had an effect, in the order of these effects."""
        with self.domain.domain_context():
            found = self.domain.repository_for(self.parcel).get_or_none(order_id)
            return [] if found is None else list(found.sequences)

    def mirrored(self, order_id: str) -> list[int]:
        """The numbers that an order was said to have, in the order of hearing it."""
        with self.domain.domain_context():
            found = self.domain.repository_for(self.mirror).get_or_none(order_id)
            return [] if found is None else list(found.numbers)


def build_shop(config: dict[str, Any], **options: bool) -> Shop:
    """`options` are those of the aggregate."""
    domain = Domain("shop", config=config)

    @domain.event(part_of="Order", published=True)
    class OrderPlaced:
        __version__ = 2
        order_id: Identifier(required=True)
        note: String(default="")

    @domain.event(part_of="Order", published=True)
    class OrderChanged:
        order_id: Identifier(required=True)
        number: Integer(required=True)

    @domain.event(part_of="Order")
    class OrderAudited:
        """Nobody else's business."""

        order_id: Identifier(required=True)

    @domain.upcaster(event_type=OrderPlaced, from_version=1, to_version=2)
    class AddNote:
        def upcast(self, data: dict[str, Any]) -> dict[str, Any]:
            return {**data, "note": ""}

    @domain.aggregate(**options)  # type: ignore[arg-type]  # which of them is a test's business
    class Order:
        number: Integer(default=0)

    @domain.command(part_of=Order)
    class Place:
        order_id: Identifier(required=True)

    @domain.command(part_of=Order)
    class Change:
        order_id: Identifier(required=True)

    @domain.command_handler(part_of=Order)
    class Orders:
        @handle(Place)
        def place(self, command: Any) -> None:
            order: Any = Order(id=command.order_id)
            order.raise_(OrderPlaced(order_id=order.id, note="née"))
            order.raise_(OrderAudited(order_id=order.id))
            current_domain.repository_for(Order).add(order)

        @handle(Change)
        def change(self, command: Any) -> None:
            order = current_domain.repository_for(Order).get(command.order_id)
            order.number += 1
            order.raise_(OrderChanged(order_id=order.id, number=order.number))

    @domain.projection
    class Count:
        order_id: Identifier(identifier=True)
        changes: Integer(default=0)

    @domain.projector(projector_for=Count, aggregates=[Order])
    class CountProjector:
        @on(OrderChanged)
        def changed(self, event: Any) -> None:
            counts = current_domain.repository_for(Count)
            count = counts.get_or_none(event.order_id) or Count(order_id=event.order_id)
            count.changes += 1
            counts.add(count)

    domain.init()
    return Shop(domain, Order, Place, Change)


def build_warehouse(config: dict[str, Any]) -> Warehouse:
    domain = Domain("warehouse", config=config)

    @domain.aggregate
    class Parcel:
        sequences: list[int] = []

    @domain.aggregate
    class Mirror:
        """What an order was, one time after the other."""

        numbers: list[int] = []

    @domain.subscriber(stream="order:published", broker="partners")
    class OrdersOfTheShop:
        def __call__(self, payload: dict[str, Any]) -> None:
            message: Any = current_message()
            warehouse.heard.append(payload)
            warehouse.correlations.append(message.correlation_id)
            parcels = current_domain.repository_for(Parcel)
            parcel: Any = parcels.get_or_none(payload["subject"]) or Parcel(id=payload["subject"])
            parcel.sequences = [*parcel.sequences, int(payload["sequence"])]
            parcels.add(parcel)
            if payload["subject"] in warehouse.fails:
                raise ValueError("cannot take it now")

    @domain.subscriber(stream="order-fact:published", broker="partners")
    class MirrorOfTheShop:
        def __call__(self, payload: dict[str, Any]) -> None:
            mirrors = current_domain.repository_for(Mirror)
            mirror: Any = mirrors.get_or_none(payload["subject"]) or Mirror(id=payload["subject"])
            mirror.numbers = [*mirror.numbers, payload["data"]["number"]]
            mirrors.add(mirror)

    domain.init()
    warehouse = Warehouse(domain, Parcel, Mirror)
    return warehouse
