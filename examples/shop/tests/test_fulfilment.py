"""An order's way to the customer, and every way back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from examples.shop.tests.conftest import Store
from shop.inventory.stock import CountStock
from shop.ordering.order import CancelOrder, Order
from shop.ordering.summary import OrdersOf, OrderSummary
from shop.payments import acmepay
from shop.payments.payment import RecordCapture
from shop.sales import BestSellers

from protean import UnitOfWork
from protean.clock import utc_now
from protean.exceptions import DuplicateCommandError, InvalidOperationError, ObjectNotFoundError, ValidationError
from protean.ports.progress import FailureFilter
from protean.server.dead_letters import DeadLetters
from shop.domain import shop


def test_an_order_is_reserved_charged_and_shipped(store: Store) -> None:
    store.stock("mug", 5, "9.50")
    store.stock("lamp", 1, "120.00")
    store.order("o1", "mug", "mug", "lamp")
    assert (store.status("o1"), store.payment("o1"), store.shelf("mug")) == ("placed", "requested", (5, 2))
    store.hear()
    assert (store.status("o1"), store.payment("o1")) == ("shipped", "captured")
    assert (store.shelf("mug"), store.shelf("lamp"), store.ended()) == ((3, 0), (0, 0), 1)


def test_a_declined_card_gives_the_stock_back_and_the_customer_the_reason(store: Store) -> None:
    store.stock("mug", 5)
    store.order("o1", "mug", card="declined")
    store.hear()
    assert (store.status("o1"), store.payment("o1"), store.shelf("mug")) == ("cancelled", "declined", (5, 0))
    assert shop.repository_for(Order).get("o1").reason == "the card was declined for 10.00 EUR"


def test_what_is_sold_out_is_charged_to_nobody_and_the_rest_of_the_order_released(store: Store) -> None:
    store.stock("mug", 5)
    store.stock("lamp", 0)
    store.order("o1", "mug", "lamp")
    store.hear()
    assert (store.status("o1"), store.payment("o1"), store.shelf("mug")) == ("cancelled", None, (5, 0))
    assert shop.repository_for(Order).get("o1").reason == "lamp is sold out: 0 of 1 left"


def test_an_order_that_nobody_pays_is_cancelled_and_money_that_comes_later_goes_back(store: Store) -> None:
    store.stock("mug", 5)
    store.order("o1", "mug", card="silent")
    assert shop.fire_timeouts(utc_now() + timedelta(minutes=14)) == 0
    assert shop.fire_timeouts(utc_now() + timedelta(minutes=16)) == 1
    assert (store.status("o1"), store.payment("o1"), store.shelf("mug")) == ("cancelled", "voided", (5, 0))
    acmepay.remember("o1")
    store.hear()
    assert (store.status("o1"), store.payment("o1")) == ("cancelled", "refunded")


def test_a_customer_may_think_better_of_it_until_the_order_is_paid(store: Store) -> None:
    store.stock("mug", 5)
    store.order("o1", "mug")
    store.order("o2", "mug")
    shop.process(CancelOrder(order_id="o1", reason="too many mugs"))
    store.hear()
    assert (store.status("o1"), store.payment("o1")) == ("cancelled", "refunded")
    assert (store.status("o2"), store.payment("o2"), store.shelf("mug")) == ("shipped", "captured", (4, 0))
    with pytest.raises(InvalidOperationError, match="order o2 is shipped and can only be sent back"):
        shop.process(CancelOrder(order_id="o2", reason="too few mugs"))


@pytest.mark.parametrize("first", ["cancellation", "money"])
def test_a_cancellation_and_the_money_may_cross_each_other_and_the_money_goes_back(store: Store, first: str) -> None:
    """Neither the order nor the payment knows of the other's news when it is told its own."""
    store.stock("mug", 5)
    store.order("o1", "mug", card="silent")
    news = [CancelOrder(order_id="o1", reason="too many mugs"), RecordCapture(order_id="o1")]
    with UnitOfWork():
        for command in news if first == "cancellation" else reversed(news):
            shop.process(command)
    assert (store.status("o1"), store.payment("o1"), store.shelf("mug")) == ("cancelled", "refunded", (5, 0))
    assert DeadLetters(shop).count(FailureFilter()) == 0


def test_an_order_sent_twice_under_one_key_is_placed_once(store: Store) -> None:
    store.stock("mug", 5)
    assert {store.order("o1", "mug", idempotency_key="k") for _ in range(3)} == {"o1"}
    assert store.shelf("mug") == (5, 1)
    with pytest.raises(DuplicateCommandError, match="belongs to a PlaceOrder"):
        store.order("o1", "mug", "mug", idempotency_key="k")


def test_what_cannot_be_ordered_is_refused_and_leaves_nothing(store: Store) -> None:
    store.stock("mug", 5)
    with pytest.raises(ObjectNotFoundError, match="no Product with identity 'cup'"):
        store.order("o1", "mug", "cup")
    with pytest.raises(ValidationError, match="items"):
        store.order("o1")
    assert shop.repository_for(Order).get_or_none("o1") is None
    assert store.shelf("mug") == (5, 0)


def test_whoever_asks_sees_his_orders_and_what_sells(store: Store) -> None:
    store.stock("mug", 5, "9.50")
    store.stock("lamp", 1, "120.00")
    with shop.domain_context(tenant="lights.example"):
        store.order("o1", "lamp")
        store.order("o2", "mug", "mug", card="declined")
    store.order("o3", "mug", "lamp")
    store.hear()
    seen = shop.dispatch(OrdersOf(customer_id="ann"))
    assert [(row.order_id, row.status, row.payment, row.tenant) for row in seen] == [
        ("o3", "cancelled", None, None),
        ("o2", "cancelled", "declined", "lights.example"),
        ("o1", "shipped", "captured", "lights.example"),
    ]
    (best,) = shop.dispatch(BestSellers())
    assert (best.sku, best.name, best.sold, best.missed, best.on_hand, best.revenue) == ("lamp", "lamp", 1, 1, 0, 120)


def test_the_tenant_is_known_to_the_last_message_and_every_message_says_what_caused_it(store: Store) -> None:
    store.stock("mug", 5)
    with shop.domain_context(tenant="mugs.example"):
        store.order("o1", "mug", correlation_id="request-7")
    messages = shop.event_store.search(correlation_id="request-7")
    assert [message.type for message in messages] == ["OrderPlaced", "StockReserved", "PaymentRequested"]
    assert {message.headers["tenant"] for message in messages} == {"mugs.example"}
    assert [message.causation_id for message in messages[1:]] == [message.id for message in messages[:2]]


def test_a_shelf_is_counted_later_and_the_difference_asked_for(store: Store) -> None:
    store.stock("mug", 5)
    command_id = shop.process(CountStock(sku="mug", counted=3), asynchronous=True)
    status = shop.result_of(command_id)
    assert (status.state, status.result, store.shelf("mug")) == ("done", -2, (3, 0))


def test_what_is_promised_cannot_be_counted_away(store: Store) -> None:
    store.stock("mug", 5)
    store.order("o1", "mug", "mug")
    with pytest.raises(ValidationError, match="is 1, and 2 are promised to customers"):
        shop.process(CountStock(sku="mug", counted=1))
    assert store.shelf("mug") == (5, 2)


def test_the_read_models_made_anew_from_the_log_are_the_same(store: Store) -> None:
    store.stock("mug", 5)
    for number, card in enumerate(["ok", "declined", "ok"]):
        store.order(f"o{number}", "mug", card=card)
    store.hear()

    def rows() -> list[dict[str, object]]:
        views = (shop.view_for(OrderSummary).query.order_by("order_id"), shop.view_for(type(sold)).query)
        return [row.to_dict() for view in views for row in view]

    (sold,) = shop.dispatch(BestSellers())
    before = rows()
    for projection in (OrderSummary, type(sold)):
        shop.rebuild(projection)
    assert rows() == before
