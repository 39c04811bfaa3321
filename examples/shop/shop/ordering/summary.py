"""What a customer sees of an order: a row that orders and payments both have a part in."""

from __future__ import annotations

from protean import Projection, Query, current_domain, current_message, on, read
from protean.fields import Identifier, Integer, String, ValueObject
from shop.domain import shop
from shop.money import Money
from shop.ordering.order import Order, OrderCancelled, OrderPaid, OrderPlaced, OrderShipped
from shop.payments.payment import Payment, PaymentCaptured, PaymentDeclined, PaymentRefunded, PaymentRequested


@shop.projection(indexes=[("customer_id", "placed_at")])
class OrderSummary(Projection):
    """Everything but the key may be missing for a moment: who tells of the payment may be faster."""

    order_id: str = Identifier(identifier=True)
    customer_id: str | None = Identifier(default=None)
    tenant: str | None = String(default=None)
    pieces: int = Integer(default=0)
    total: Money | None = ValueObject(Money, default=None)
    status: str | None = String(default=None)
    reason: str | None = String(default=None)
    payment: str | None = String(default=None)
    placed_at: str | None = String(default=None)


@shop.projector(projector_for=OrderSummary, aggregates=[Order, Payment])
class OrderSummaryProjector:
    """Orders and payments are streams of their own, with no order between them: each writes its own columns."""

    @on(OrderPlaced)
    def placed(self, event: OrderPlaced) -> None:
        summary, message = _summary(event.order_id), current_message()
        summary.customer_id, summary.total, summary.status = event.customer_id, event.total, "placed"
        summary.pieces = sum(line.quantity for line in event.lines)
        summary.tenant = message.headers.get("tenant")
        summary.placed_at = message.time.isoformat()

    @on(OrderPaid)
    def paid(self, event: OrderPaid) -> None:
        _summary(event.order_id).status = "paid"

    @on(OrderShipped)
    def shipped(self, event: OrderShipped) -> None:
        _summary(event.order_id).status = "shipped"

    @on(OrderCancelled)
    def cancelled(self, event: OrderCancelled) -> None:
        summary = _summary(event.order_id)
        summary.status, summary.reason = "cancelled", event.reason

    @on(PaymentRequested)
    def requested(self, event: PaymentRequested) -> None:
        _summary(event.order_id).payment = "requested"

    @on(PaymentCaptured)
    def captured(self, event: PaymentCaptured) -> None:
        _summary(event.order_id).payment = "captured"

    @on(PaymentDeclined)
    def declined(self, event: PaymentDeclined) -> None:
        _summary(event.order_id).payment = "declined"

    @on(PaymentRefunded)
    def refunded(self, event: PaymentRefunded) -> None:
        _summary(event.order_id).payment = "refunded"


def _summary(order_id: str) -> OrderSummary:
    summaries = current_domain.repository_for(OrderSummary)
    summary: OrderSummary = summaries.get_or_none(order_id) or summaries.add(OrderSummary(order_id=order_id))
    return summary


@shop.query(part_of=OrderSummary)
class OrdersOf(Query):
    """A customer's orders, the latest first."""

    customer_id: str = Identifier(required=True)
    most: int = Integer(default=20, min_value=1, max_value=100)


@shop.query_handler(part_of=OrderSummary)
class OrderQueries:
    @read(OrdersOf)
    def of_customer(self, query: OrdersOf) -> list[OrderSummary]:
        found = current_domain.view_for(OrderSummary).find(customer_id=query.customer_id)
        return list(found.order_by("-placed_at").limit(query.most))
