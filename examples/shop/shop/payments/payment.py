"""Payments: requested once an order, and then whatever the provider makes of it, in whatever order its news come."""

from __future__ import annotations

from enum import Enum

from protean import Aggregate, Command, Event, current_domain, handle
from protean.fields import Identifier, Status, String, ValueObject
from shop.domain import shop
from shop.money import Money


class PaymentStatus(Enum):
    REQUESTED = "requested"
    CAPTURED = "captured"
    DECLINED = "declined"
    VOIDED = "voided"
    REFUNDED = "refunded"


@shop.event(part_of="Payment")
class PaymentRequested(Event):
    order_id: str = Identifier(required=True)
    amount: Money = ValueObject(Money, required=True)
    card: str = String(required=True, max_length=100)


@shop.event(part_of="Payment")
class PaymentCaptured(Event):
    order_id: str = Identifier(required=True)
    amount: Money = ValueObject(Money, required=True)


@shop.event(part_of="Payment")
class PaymentDeclined(Event):
    order_id: str = Identifier(required=True)
    reason: str = String(required=True)


@shop.event(part_of="Payment")
class PaymentVoided(Event):
    """Nobody waits for it any more."""

    order_id: str = Identifier(required=True)


@shop.event(part_of="Payment")
class PaymentRefunded(Event):
    order_id: str = Identifier(required=True)
    amount: Money = ValueObject(Money, required=True)


@shop.aggregate
class Payment(Aggregate):
    """An order is charged once: its identity is the payment's. News that come twice, or too late, change nothing."""

    order_id: str = Identifier(identifier=True)
    amount: Money = ValueObject(Money, required=True)
    status: PaymentStatus = Status(
        PaymentStatus,
        transitions={
            PaymentStatus.REQUESTED: [PaymentStatus.CAPTURED, PaymentStatus.DECLINED, PaymentStatus.VOIDED],
            PaymentStatus.CAPTURED: [PaymentStatus.REFUNDED],
            PaymentStatus.VOIDED: [PaymentStatus.REFUNDED],  # the money came after all
        },
        default=PaymentStatus.REQUESTED,
    )

    def capture(self) -> None:
        if self.status is PaymentStatus.REQUESTED:
            self.status = PaymentStatus.CAPTURED
            self.raise_(PaymentCaptured(order_id=self.order_id, amount=self.amount))
        elif self.status is PaymentStatus.VOIDED:
            self._refund()

    def decline(self, reason: str) -> None:
        if self.status is PaymentStatus.REQUESTED:
            self.status = PaymentStatus.DECLINED
            self.raise_(PaymentDeclined(order_id=self.order_id, reason=reason))

    def void(self) -> None:
        """What was not paid need not be any more, and what was goes back."""
        if self.status is PaymentStatus.REQUESTED:
            self.status = PaymentStatus.VOIDED
            self.raise_(PaymentVoided(order_id=self.order_id))
        elif self.status is PaymentStatus.CAPTURED:
            self._refund()

    def _refund(self) -> None:
        self.status = PaymentStatus.REFUNDED
        self.raise_(PaymentRefunded(order_id=self.order_id, amount=self.amount))


@shop.command(part_of=Payment)
class RequestPayment(Command):
    order_id: str = Identifier(required=True)
    amount: Money = ValueObject(Money, required=True)
    card: str = String(required=True, max_length=100)


@shop.command(part_of=Payment)
class RecordCapture(Command):
    order_id: str = Identifier(required=True)


@shop.command(part_of=Payment)
class RecordDecline(Command):
    order_id: str = Identifier(required=True)
    reason: str = String(required=True)


@shop.command(part_of=Payment)
class VoidPayment(Command):
    order_id: str = Identifier(required=True)


@shop.command_handler(part_of=Payment)
class Cashier:
    @handle(RequestPayment)
    def request(self, command: RequestPayment) -> None:
        payment = Payment(order_id=command.order_id, amount=command.amount)
        payment.raise_(PaymentRequested(order_id=command.order_id, amount=command.amount, card=command.card))
        current_domain.repository_for(Payment).add(payment)

    @handle(RecordCapture)
    def capture(self, command: RecordCapture) -> None:
        current_domain.repository_for(Payment).get(command.order_id).capture()

    @handle(RecordDecline)
    def decline(self, command: RecordDecline) -> None:
        current_domain.repository_for(Payment).get(command.order_id).decline(command.reason)

    @handle(VoidPayment)
    def void(self, command: VoidPayment) -> None:
        """An order that is cancelled before its stock was there has no payment yet."""
        if payment := current_domain.repository_for(Payment).get_or_none(command.order_id):
            payment.void()
