"""A shop through its years: the same orders in the code of three versions, over the same database."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.support.bank import always, delivery

from protean import Domain, codec, current_domain, current_message, g, handle, on
from protean.clock import utc_now
from protean.fields import Identifier, Integer, String
from protean.handle.executor import Executor
from protean.handle.retry import RetryPolicy
from protean.message import Message, MessageKind, NewMessage
from protean.ports.handling import Delivery


@dataclass
class Orders:
    """`in_projector`, `in_handler` and `in_command` run inside the handlers; `told` is what these saw, in order.

    `upcast` takes the place of the first upcaster's.
    """

    domain: Domain
    Place: Any
    Ship: Any
    order: Any
    view: Any
    in_projector: Callable[[Any], None] = lambda event: None
    in_handler: Callable[[Any], None] = lambda event: None
    in_command: Callable[[Any], None] = lambda command: None
    upcast: Callable[[dict[str, Any]], Any] | None = None
    told: list[tuple[str, Any]] = field(default_factory=list)

    def place(self, name: str, **options: Any) -> Any:
        return self.domain.process(self.Place(order_id=name, amount=3), **options)

    def event(self, name: str) -> Any:
        return self.domain.registry.elements[name]

    def log(self, name: str) -> list[Message]:
        transaction = self.domain.database().transaction()
        try:
            return transaction.log.read(f"order-{name}", -1, 1000)
        finally:
            transaction.rollback()

    def recall(self, name: str, version: int, type_: str = "OrderPlaced", **data: Any) -> None:
        """Put into the log what the code of an earlier year wrote there."""
        message_id, now = str(uuid4()), utc_now()
        described = {"kind": MessageKind.EVENT, "stream_name": f"order-{name}", "category": "order", "priority": 0}
        metadata = codec.metadata_json(
            message_id=message_id,
            message_type=type_,
            version=version,
            time=now,
            correlation_id=message_id,
            causation_id=None,
            headers={},
            **described,
        )
        text = json.dumps({"order_id": name, **data})
        message = NewMessage(
            id=message_id, type=type_, version=version, time=now, data=text, metadata=metadata, **described
        )
        transaction = self.domain.database().transaction()
        try:
            transaction.log.append([message], None)
            transaction.commit()
        finally:
            transaction.rollback()

    def executor(self, handler: str, policy: RetryPolicy = RetryPolicy()) -> Executor:
        spec = next(spec for spec in self.domain.registry.handlers if spec.name == handler)
        return Executor(self.domain, spec, "default", policy)

    def hand_over(self, handler: str, name: str, **options: Any) -> list[Any]:
        """Let a handler handle what is in the log of an order."""
        deliveries: list[Delivery] = [delivery(message) for message in self.log(name)]
        return self.executor(handler, **options).execute(deliveries, grouped=False, go_on=always)

    def seen(self, name: str) -> tuple[int, str]:
        row = self.domain.repository_for(self.view).get(name)
        return row.total, row.currency


def build_orders(config: dict[str, Any], version: int = 3) -> Orders:  # noqa: C901  # a list of declarations
    """The code as it was when `OrderPlaced` had that version: 1 `amount`, 2 with `currency`, 3 `total` for `amount`.

    Version 3 also calls `OrderShipped` what used to be `OrderSent`.
    """
    domain = Domain("orders", config=config)

    @domain.aggregate
    class Order:
        total: Integer(default=0)

    if version == 1:

        @domain.event(part_of=Order)
        class OrderPlaced:
            order_id: Identifier(required=True)
            amount: Integer(required=True)

    elif version == 2:

        @domain.event(part_of=Order)
        class OrderPlaced:  # type: ignore[no-redef]  # the next year's
            __version__ = 2
            order_id: Identifier(required=True)
            amount: Integer(required=True)
            currency: String(required=True)

    else:

        @domain.event(part_of=Order)
        class OrderPlaced:  # type: ignore[no-redef]  # the last year's
            __version__ = 3
            order_id: Identifier(required=True)
            total: Integer(required=True)
            currency: String(required=True)

    if version >= 2:

        @domain.upcaster(event_type=OrderPlaced, from_version=1, to_version=2)
        class AddCurrency:
            def upcast(self, data: dict[str, Any]) -> Any:
                if orders.upcast is not None:
                    return orders.upcast(data)
                data["currency"] = "EUR"
                return data

    if version >= 3:

        @domain.upcaster(event_type="OrderPlaced", from_version=2, to_version=3)
        class AmountIsTotal:
            def upcast(self, data: dict[str, Any]) -> dict[str, Any]:
                return {"total": data.pop("amount"), **data}

    class OrderShipped:
        order_id: Identifier(required=True)

    if version < 3:
        OrderShipped.__name__ = "OrderSent"
    aliases = ["OrderSent"] if version >= 3 else []
    shipped_event: Any = domain.event(part_of=Order, aliases=aliases)(OrderShipped)

    @domain.command(part_of=Order)
    class Place:
        order_id: Identifier(required=True)
        amount: Integer(required=True)

    @domain.command(part_of=Order)
    class Ship:
        order_id: Identifier(required=True)

    @domain.command_handler(part_of=Order)
    class Clerk:
        @handle(Place)
        def place(self, command: Any) -> None:
            orders.told.append(("Place", surroundings()))
            order = Order(id=command.order_id, total=command.amount)
            values = {"amount": command.amount} if version < 3 else {"total": command.amount}
            if version > 1:
                values["currency"] = "SEK"
            order.raise_(OrderPlaced(order_id=order.id, **values))
            current_domain.repository_for(Order).add(order)
            orders.in_command(command)

        @handle(Ship)
        def ship(self, command: Any) -> None:
            orders.told.append(("Ship", surroundings()))
            order = current_domain.repository_for(Order).get(command.order_id)
            order.raise_(shipped_event(order_id=order.id))
            current_domain.repository_for(Order).add(order)
            orders.in_command(command)

    @domain.projection
    class OrderView:
        order_id: Identifier(identifier=True)
        total: Integer(default=0)
        currency: String()
        shipped: Integer(default=0)

    @domain.projector(projector_for=OrderView, aggregates=[Order])
    class OrderProjector:
        @on(OrderPlaced)
        def placed(self, event: Any) -> None:
            orders.told.append(("OrderProjector", surroundings()))
            total = event.amount if version < 3 else event.total
            row = OrderView(order_id=event.order_id, total=total, currency=getattr(event, "currency", ""))
            current_domain.repository_for(OrderView).add(row)
            orders.in_projector(event)

        @on(shipped_event)
        def shipped(self, event: Any) -> None:
            orders.told.append(("OrderProjector", surroundings()))
            current_domain.repository_for(OrderView).get(event.order_id).shipped += 1
            orders.in_projector(event)

    @domain.event_handler(part_of=Order)
    class Mailer:
        @handle(OrderPlaced)
        def placed(self, event: Any) -> None:
            orders.told.append(("Mailer", surroundings()))
            orders.in_handler(event)

        @handle(shipped_event)
        def shipped(self, event: Any) -> None:
            orders.told.append(("Mailer", surroundings()))
            orders.in_handler(event)

    orders = Orders(domain, Place, Ship, Order, OrderView)
    domain.init()
    return orders


@dataclass(frozen=True)
class Surroundings:
    """What a handler finds around it."""

    message: Any
    tenant: Any


def surroundings() -> Surroundings:
    return Surroundings(current_message(), g.get("tenant_id"))
