"""What sells, for those who buy in: one row a product, kept by two projectors that write different columns of it."""

from __future__ import annotations

import decimal

from protean import Projection, Query, current_domain, on, read
from protean.fields import Decimal, Identifier, Integer, String
from shop.domain import shop
from shop.inventory.stock import (
    StockCounted,
    StockDispatched,
    StockItem,
    StockReceived,
    StockRefused,
    StockReleased,
    StockReserved,
)
from shop.ordering.product import PriceChanged, Product, ProductListed


@shop.projection(indexes=["revenue"])
class ProductSales(Projection):
    """`missed` are pieces that customers wanted and did not get."""

    sku: str = Identifier(identifier=True)
    name: str | None = String(default=None, max_length=100)
    price: decimal.Decimal | None = Decimal(default=None)
    on_hand: int = Integer(default=0)
    reserved: int = Integer(default=0)
    sold: int = Integer(default=0)
    missed: int = Integer(default=0)
    revenue: decimal.Decimal = Decimal(default=decimal.Decimal(0))


@shop.projector(projector_for=ProductSales, aggregates=[Product])
class CatalogueProjector:
    @on(ProductListed)
    def listed(self, event: ProductListed) -> None:
        row = _row(event.sku)
        row.name, row.price = event.name, event.price.amount

    @on(PriceChanged)
    def repriced(self, event: PriceChanged) -> None:
        _row(event.sku).price = event.price.amount


@shop.projector(projector_for=ProductSales, aggregates=[StockItem])
class StockProjector:
    """Adds up: all that it adds to one row comes from one stream, whose events come in order, one at a time, once."""

    @on(StockReceived)
    def received(self, event: StockReceived) -> None:
        _row(event.sku).on_hand += event.quantity

    @on(StockCounted)
    def counted(self, event: StockCounted) -> None:
        _row(event.sku).on_hand += event.difference

    @on(StockReserved)
    def reserved(self, event: StockReserved) -> None:
        _row(event.sku).reserved += event.quantity

    @on(StockRefused)
    def refused(self, event: StockRefused) -> None:
        _row(event.sku).missed += event.wanted

    @on(StockReleased)
    def released(self, event: StockReleased) -> None:
        _row(event.sku).reserved -= event.quantity

    @on(StockDispatched)
    def dispatched(self, event: StockDispatched) -> None:
        row = _row(event.sku)
        row.on_hand -= event.quantity
        row.reserved -= event.quantity
        row.sold += event.quantity
        row.revenue += event.sold_for.amount


def _row(sku: str) -> ProductSales:
    rows = current_domain.repository_for(ProductSales)
    row: ProductSales = rows.get_or_none(sku) or rows.add(ProductSales(sku=sku))
    return row


@shop.query(part_of=ProductSales)
class BestSellers(Query):
    most: int = Integer(default=10, min_value=1, max_value=100)


@shop.query_handler(part_of=ProductSales)
class SalesQueries:
    @read(BestSellers)
    def best(self, query: BestSellers) -> list[ProductSales]:
        return list(current_domain.view_for(ProductSales).find(sold__gte=1).order_by("-revenue").limit(query.most))
