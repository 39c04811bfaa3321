"""Amounts of money."""

from __future__ import annotations

import decimal

from protean import Value
from protean.fields import Decimal, String
from shop.domain import shop


@shop.value_object
class Money(Value):
    amount: decimal.Decimal = Decimal(required=True, min_value=0)
    currency: str = String(max_length=3, min_length=3, default="EUR")

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise ValueError(f"{self} and {other} are not of one currency")
        return self.replace(amount=self.amount + other.amount)

    def times(self, count: int) -> Money:
        return self.replace(amount=self.amount * count)

    def __str__(self) -> str:
        return f"{self.amount:.2f} {self.currency}"


def euros(amount: str | int) -> Money:
    """Ours is a European shop."""
    return Money(amount=decimal.Decimal(amount))
