"""To the payment provider and back."""

from __future__ import annotations

from typing import Any

from protean import current_domain, current_message, handle
from protean.exceptions import ValidationError
from shop.domain import shop
from shop.payments import acmepay
from shop.payments.payment import Payment, PaymentRefunded, PaymentRequested, RecordCapture, RecordDecline


@shop.event_handler(part_of=Payment)
class Terminal:
    """What leaves the house happens at least once: the message's id tells the provider what it has done already."""

    @handle(PaymentRequested)
    def charge(self, event: PaymentRequested) -> None:
        acmepay.charge(event.order_id, str(event.amount), event.card, idempotency_key=current_message().id)

    @handle(PaymentRefunded)
    def refund(self, event: PaymentRefunded) -> None:
        acmepay.refund(event.order_id, str(event.amount), idempotency_key=current_message().id)


@shop.subscriber(stream=acmepay.NEWS)
class AcmepayNews:
    """What the provider has to say. It says things twice; its own id for them makes them one."""

    def __call__(self, payload: dict[str, Any]) -> None:
        key = f"acmepay:{payload['news_id']}"
        match payload["what"]:
            case "captured":
                current_domain.process(RecordCapture(order_id=payload["reference"]), idempotency_key=key)
            case "declined":
                declined = RecordDecline(order_id=payload["reference"], reason=payload["reason"])
                current_domain.process(declined, idempotency_key=key)
            case "refunded":
                pass  # we have asked for it, and know already
            case unknown:
                raise ValidationError({"what": [f"is {unknown!r}, which acmepay does not document"]})
