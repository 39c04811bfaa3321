"""The catalogue: what is for sale, and for how much. Only here are prices; customers name products."""

from __future__ import annotations

from protean import Aggregate, Command, Event, current_domain, handle
from protean.fields import Identifier, String, ValueObject
from shop.domain import shop
from shop.money import Money


@shop.event(part_of="Product")
class ProductListed(Event):
    sku: str = Identifier(required=True)
    name: str = String(required=True, max_length=100)
    price: Money = ValueObject(Money, required=True)


@shop.event(part_of="Product")
class PriceChanged(Event):
    sku: str = Identifier(required=True)
    price: Money = ValueObject(Money, required=True)


@shop.aggregate
class Product(Aggregate):
    sku: str = Identifier(identifier=True)
    name: str = String(required=True, max_length=100)
    price: Money = ValueObject(Money, required=True)


@shop.command(part_of=Product)
class ListProduct(Command):
    """Offer something new, or what there is under another price."""

    sku: str = Identifier(required=True)
    name: str = String(required=True, max_length=100)
    price: Money = ValueObject(Money, required=True)


@shop.command_handler(part_of=Product)
class Catalogue:
    @handle(ListProduct)
    def list_product(self, command: ListProduct) -> None:
        products = current_domain.repository_for(Product)
        product = products.get_or_none(command.sku)
        if product is None:
            product = Product(sku=command.sku, name=command.name, price=command.price)
            product.raise_(ProductListed(sku=product.sku, name=product.name, price=product.price))
        elif product.price != command.price:
            product.price = command.price
            product.raise_(PriceChanged(sku=product.sku, price=product.price))
        products.add(product)
