"""Stands for a payment provider: where its client library would be, there is all of it.

It takes requests, makes up its mind by the card, and tells of it on a stream of its own, in words of its own, which
nobody's tables and transactions know anything about. As the real ones may, it says everything twice.

    ok         the money is there
    declined   it is not
    silent     nobody ever hears of it again; unless somebody calls `remember`
"""

from __future__ import annotations

import json

from shop.domain import shop

#: The stream of its news.
NEWS = "acmepay"


def charge(reference: str, amount: str, card: str, *, idempotency_key: str) -> None:
    """Ask for money. The same key is the same request, and gets the same answer."""
    if card == "declined":
        _tell(idempotency_key, "declined", reference, reason=f"the card was declined for {amount}")
    elif card != "silent":
        _tell(idempotency_key, "captured", reference)


def refund(reference: str, amount: str, *, idempotency_key: str) -> None:
    """Give it back."""
    _tell(idempotency_key, "refunded", reference, amount=amount)


def remember(reference: str) -> None:
    """The money of a silent card arrives after all, and late."""
    _tell(f"late-{reference}", "captured", reference)


def _tell(key: str, what: str, reference: str, **more: str) -> None:
    news = json.dumps({"news_id": f"{what}-{key}", "what": what, "reference": reference, **more}).encode()
    shop.broker().publish([(NEWS, news), (NEWS, news)])
