"""Stock: received, reserved for an order, released again, or dispatched; and counted by people now and then."""

from __future__ import annotations

from protean import Aggregate, Command, Entity, Event, atomic_change, current_domain, handle, invariant
from protean.exceptions import ValidationError
from protean.fields import HasMany, Identifier, Integer, ValueObject
from shop.domain import shop
from shop.money import Money


@shop.event(part_of="StockItem")
class StockReceived(Event):
    sku: str = Identifier(required=True)
    quantity: int = Integer(required=True)


@shop.event(part_of="StockItem")
class StockReserved(Event):
    sku: str = Identifier(required=True)
    order_id: str = Identifier(required=True)
    quantity: int = Integer(required=True)


@shop.event(part_of="StockItem")
class StockRefused(Event):
    """There was not enough for an order: an answer, not an error, which the process that asked hears as an event."""

    sku: str = Identifier(required=True)
    order_id: str = Identifier(required=True)
    wanted: int = Integer(required=True)
    available: int = Integer(required=True)


@shop.event(part_of="StockItem")
class StockReleased(Event):
    sku: str = Identifier(required=True)
    order_id: str = Identifier(required=True)
    quantity: int = Integer(required=True)


@shop.event(part_of="StockItem")
class StockDispatched(Event):
    """`sold_for` is what all of it was sold for."""

    sku: str = Identifier(required=True)
    order_id: str = Identifier(required=True)
    quantity: int = Integer(required=True)
    sold_for: Money = ValueObject(Money, required=True)


@shop.event(part_of="StockItem")
class StockCounted(Event):
    """`difference` is what was found beyond what should have been there; below zero, what was missing."""

    sku: str = Identifier(required=True)
    difference: int = Integer(required=True)


@shop.aggregate
class StockItem(Aggregate):
    """What there is of one product. Telling it something twice is telling it once, but for what is received."""

    sku: str = Identifier(identifier=True)
    on_hand: int = Integer(default=0, min_value=0)
    reservations = HasMany("Reservation")

    @property
    def reserved(self) -> int:
        return sum(each.quantity for each in self.reservations)

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved

    @invariant.post
    def promises_no_more_than_there_is(self) -> None:
        if self.reserved > self.on_hand:
            raise ValidationError({"on_hand": [f"is {self.on_hand}, and {self.reserved} are promised to customers"]})

    def receive(self, quantity: int) -> None:
        self.on_hand += quantity
        self.raise_(StockReceived(sku=self.sku, quantity=quantity))

    def reserve(self, order_id: str, quantity: int) -> None:
        if self._reservation(order_id):
            return
        if quantity > self.available:
            refused = StockRefused(sku=self.sku, order_id=order_id, wanted=quantity, available=self.available)
            self.raise_(refused)
            return
        self.reservations.append(Reservation(order_id=order_id, quantity=quantity))
        self.raise_(StockReserved(sku=self.sku, order_id=order_id, quantity=quantity))

    def release(self, order_id: str) -> None:
        if reservation := self._reservation(order_id):
            self.reservations.remove(reservation)
            self.raise_(StockReleased(sku=self.sku, order_id=order_id, quantity=reservation.quantity))

    def dispatch(self, order_id: str, sold_for: Money) -> None:
        if reservation := self._reservation(order_id):
            # Neither half holds alone: without the reservation's end, more would be promised than is left.
            with atomic_change(self):
                self.on_hand -= reservation.quantity
                self.reservations.remove(reservation)
            self.raise_(
                StockDispatched(sku=self.sku, order_id=order_id, quantity=reservation.quantity, sold_for=sold_for)
            )

    def count(self, counted: int) -> int:
        """What is there beyond what should have been."""
        difference = counted - self.on_hand
        if difference:
            self.on_hand = counted
            self.raise_(StockCounted(sku=self.sku, difference=difference))
        return difference

    def _reservation(self, order_id: str) -> Reservation | None:
        return next((each for each in self.reservations if each.order_id == order_id), None)


@shop.entity(part_of=StockItem)
class Reservation(Entity):
    order_id: str = Identifier(required=True)
    quantity: int = Integer(required=True, min_value=1)


@shop.command(part_of=StockItem)
class ReceiveStock(Command):
    sku: str = Identifier(required=True)
    quantity: int = Integer(required=True, min_value=1)


@shop.command(part_of=StockItem)
class ReserveStock(Command):
    sku: str = Identifier(required=True)
    order_id: str = Identifier(required=True)
    quantity: int = Integer(required=True, min_value=1)


@shop.command(part_of=StockItem)
class ReleaseStock(Command):
    sku: str = Identifier(required=True)
    order_id: str = Identifier(required=True)


@shop.command(part_of=StockItem)
class DispatchStock(Command):
    sku: str = Identifier(required=True)
    order_id: str = Identifier(required=True)
    sold_for: Money = ValueObject(Money, required=True)


@shop.command(part_of=StockItem)
class CountStock(Command):
    """Somebody has counted a shelf. Shelves are counted by the thousand, so a server does it when it has time."""

    sku: str = Identifier(required=True)
    counted: int = Integer(required=True, min_value=0)


@shop.command_handler(part_of=StockItem)
class Warehouse:
    @handle(ReceiveStock)
    def receive(self, command: ReceiveStock) -> int:
        """What is on hand now."""
        item = _item(command.sku)
        item.receive(command.quantity)
        return item.on_hand

    @handle(ReserveStock)
    def reserve(self, command: ReserveStock) -> None:
        _item(command.sku).reserve(command.order_id, command.quantity)

    @handle(ReleaseStock)
    def release(self, command: ReleaseStock) -> None:
        _item(command.sku).release(command.order_id)

    @handle(DispatchStock)
    def dispatch(self, command: DispatchStock) -> None:
        _item(command.sku).dispatch(command.order_id, command.sold_for)

    @handle(CountStock)
    def count(self, command: CountStock) -> int:
        """What is there beyond what should have been."""
        return _item(command.sku).count(command.counted)


def _item(sku: str) -> StockItem:
    """An empty shelf is a shelf too: a product that never came in is not there, which is no mistake of who asks."""
    stock = current_domain.repository_for(StockItem)
    item: StockItem = stock.get_or_none(sku) or stock.add(StockItem(sku=sku))
    return item
