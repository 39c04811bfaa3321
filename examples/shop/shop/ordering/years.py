"""How events of earlier years read today. They stay in the log as they were written."""

from __future__ import annotations

from typing import Any

from shop.domain import shop
from shop.ordering.order import OrderPlaced


@shop.upcaster(event_type=OrderPlaced, from_version=1, to_version=2)
class AmountsHaveACurrency:
    """Until there was a second storefront, prices were plain numbers and meant euros."""

    def upcast(self, data: dict[str, Any]) -> dict[str, Any]:
        lines = [{**line, "price": _euros(line["price"])} for line in data["lines"]]
        return {**data, "lines": lines, "total": _euros(data["total"])}


def _euros(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}
