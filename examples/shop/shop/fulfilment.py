"""The process that leads an order through stock and payment to the customer, or back to where it began.

    placed ── reserve ──> reserved ── charge ──> captured ──> paid ── dispatch ──> shipped
                 │                       │
             refused            declined, or nothing for too long
                 └───────> cancel <──────┘ <── the customer
                              │
                          cancelled ── release the stock, void or refund the payment

There is one way back, whatever went wrong: the order is cancelled, and its being cancelled undoes the rest.
"""

from __future__ import annotations

from datetime import timedelta

from protean import ProcessManager, current_domain, handle, handle_timeout
from protean.fields import Identifier, List, String, ValueObject
from shop.domain import shop
from shop.inventory.stock import (
    DispatchStock,
    ReleaseStock,
    ReserveStock,
    StockItem,
    StockRefused,
    StockReserved,
)
from shop.money import Money
from shop.ordering.order import (
    CancelOrder,
    Line,
    MarkOrderPaid,
    Order,
    OrderCancelled,
    OrderPaid,
    OrderPlaced,
    OrderShipped,
    ShipOrder,
)
from shop.payments.payment import Payment, PaymentCaptured, PaymentDeclined, RequestPayment, VoidPayment


@shop.process_manager(aggregates=[Order, StockItem, Payment])
class OrderFulfilment(ProcessManager):
    """What a method commands is committed with its event being handled, or none of it is."""

    order_id: str = Identifier(identifier=True)
    lines: list[Line] = List(ValueObject(Line), default=list)
    total: Money | None = ValueObject(Money, default=None)
    card: str | None = String(default=None, max_length=100)
    reserved: list[str] = List(str, default=list)

    @handle(OrderPlaced, start=True, correlate="order_id")
    def placed(self, event: OrderPlaced) -> None:
        self.lines, self.total, self.card = event.lines, event.total, event.card
        for line in event.lines:
            current_domain.process(ReserveStock(sku=line.sku, order_id=self.order_id, quantity=line.quantity))

    @handle(StockReserved, correlate="order_id")
    def reserved_for_us(self, event: StockReserved) -> None:
        """The products answer in no particular order; the last one that does sets the payment off."""
        self.reserved = [*self.reserved, event.sku]
        if len(self.reserved) == len(self.lines) and self.total is not None and self.card is not None:
            current_domain.process(RequestPayment(order_id=self.order_id, amount=self.total, card=self.card))
            self.timeout_in(payment_patience(), "unpaid")

    @handle(StockRefused, correlate="order_id")
    def sold_out(self, event: StockRefused) -> None:
        self._cancel(f"{event.sku} is sold out: {event.available} of {event.wanted} left")

    @handle(PaymentCaptured, correlate="order_id")
    def captured(self, _event: PaymentCaptured) -> None:
        self.cancel_timeout("unpaid")
        current_domain.process(MarkOrderPaid(order_id=self.order_id))

    @handle(PaymentDeclined, correlate="order_id")
    def declined(self, event: PaymentDeclined) -> None:
        self._cancel(event.reason)

    @handle_timeout("unpaid")
    def unpaid(self) -> None:
        self._cancel("the payment did not come in time")

    @handle(OrderPaid, correlate="order_id")
    def paid(self, _event: OrderPaid) -> None:
        for line in self.lines:
            current_domain.process(DispatchStock(sku=line.sku, order_id=self.order_id, sold_for=line.total))
        current_domain.process(ShipOrder(order_id=self.order_id))

    @handle(OrderShipped, correlate="order_id", end=True)
    def shipped(self, _event: OrderShipped) -> None:
        """Nothing is left to do."""

    @handle(OrderCancelled, correlate="order_id", end=True)
    def cancelled(self, _event: OrderCancelled) -> None:
        for line in self.lines:
            current_domain.process(ReleaseStock(sku=line.sku, order_id=self.order_id))
        current_domain.process(VoidPayment(order_id=self.order_id))

    def _cancel(self, reason: str) -> None:
        current_domain.process(CancelOrder(order_id=self.order_id, reason=reason))


def payment_patience() -> timedelta:
    return timedelta(seconds=float(shop.config.custom["payment_patience"]))
