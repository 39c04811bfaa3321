"""Events of earlier versions, read wherever messages are read: delivered, from a gap, at a retry, replayed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.stores import stored
from tests.support.years import Orders, build_orders

from protean import Domain, apply
from protean.exceptions import ExpectedVersionError, UnknownTypeError, UpcastError
from protean.fields import Identifier, Integer
from protean.handle.retry import RetryPolicy
from protean.ports.handling import Verdict
from protean.ports.progress import Failure, FailureFilter, FailureState
from protean.write.reading import payload_of

__all__ = ["stored"]

EAGER = RetryPolicy(max_retries=1, base_delay=0.0, jitter=0.0)


@pytest.fixture
def orders(stored: dict[str, Any]) -> Iterator[Orders]:
    """The code of the third year."""
    orders = build_orders(stored)
    with orders.domain.domain_context():
        yield orders
    orders.domain.close()


def failures(orders: Orders, state: FailureState = FailureState.WAITING) -> list[Failure]:
    transaction = orders.domain.database().transaction()
    try:
        return transaction.failures.find(FailureFilter(state=state), 100)
    finally:
        transaction.rollback()


def claimed(orders: Orders) -> Failure:
    transaction = orders.domain.database().transaction()
    try:
        (failure,) = transaction.failures.claim(FailureFilter(state=FailureState.WAITING), 10, 30.0)
        transaction.commit()
        return failure
    finally:
        transaction.rollback()


@pytest.mark.parametrize(("version", "data"), [(1, {"amount": 7}), (2, {"amount": 7, "currency": "EUR"})])
def test_an_older_event_is_brought_up_to_date_before_it_is_handled(
    orders: Orders, version: int, data: dict[str, Any]
) -> None:
    orders.recall("a", version, **data)
    seen: list[Any] = []
    orders.in_handler = seen.append
    (outcome,) = orders.hand_over("OrderProjector", "a")
    orders.hand_over("Mailer", "a")
    assert outcome.verdict is Verdict.HANDLED
    assert orders.seen("a") == (7, "EUR")
    assert [(event.total, event.currency) for event in seen] == [(7, "EUR")]


def test_what_last_years_code_wrote_is_read_by_this_years_and_waits_for_it_the_other_way_round(
    stored: dict[str, Any],
) -> None:
    if stored["databases"]["default"]["provider"] == "memory":
        pytest.skip("in memory nothing outlives the domain that wrote it")
    then, now = build_orders(stored, version=1), build_orders(stored, version=3)
    with then.domain.domain_context():
        then.place("a")
    with now.domain.domain_context():
        now.place("b")
        assert [outcome.verdict for outcome in now.hand_over("OrderProjector", "a")] == [Verdict.HANDLED]
        assert now.seen("a") == (3, "EUR")
    with then.domain.domain_context():
        (outcome,) = then.hand_over("OrderProjector", "b")
        assert outcome.failure is not None
        assert (outcome.verdict, outcome.failure.error_type) == (Verdict.RETRY, "UnknownTypeError")
        assert (outcome.failure.attempts, outcome.failure.state) == (0, FailureState.WAITING)
    then.domain.close()
    now.domain.close()


def test_an_event_that_was_renamed_is_handled_under_its_former_name(orders: Orders) -> None:
    orders.place("a")
    orders.recall("a", 1, "OrderSent")
    outcomes = orders.hand_over("OrderProjector", "a")
    assert [outcome.message_type for outcome in outcomes] == ["OrderPlaced", "OrderSent"]
    assert orders.domain.repository_for(orders.view).get("a").shipped == 1
    message = orders.log("a")[1]
    assert type(payload_of(orders.domain.registry, message)).__name__ == "OrderShipped"


def test_a_gap_is_filled_with_events_of_every_year(orders: Orders) -> None:
    orders.recall("a", 1, amount=7)
    for _ in range(3):
        orders.recall("a", 1, "OrderSent")
    orders.domain.process(orders.Ship(order_id=placed_without_event(orders, "a")))
    from tests.support.bank import always, delivery

    last = delivery(orders.log("a")[-1])
    (outcome,) = orders.executor("OrderProjector").execute([last], grouped=False, go_on=always)
    assert outcome.applied == 5
    row = orders.domain.repository_for(orders.view).get("a")
    assert (row.total, row.currency, row.shipped) == (7, "EUR", 4)


def placed_without_event(orders: Orders, name: str) -> str:
    """The aggregate whose older events were put into the log."""
    orders.domain.repository_for(orders.order).add(orders.order(id=name, total=7))
    return name


@pytest.mark.proves("protean.exceptions.UpcastError")
@pytest.mark.parametrize("handler", ["OrderProjector", "Mailer"])
def test_an_upcaster_that_raises_is_the_handlers_failure_and_tells_no_payload(orders: Orders, handler: str) -> None:
    orders.recall("a", 1, amount=7, note="card 4111-1111")

    def fail(data: dict[str, Any]) -> Any:
        raise ValueError(f"cannot understand {data}")

    orders.upcast = fail
    (outcome,) = orders.hand_over(handler, "a")
    (message,), failure = orders.log("a"), outcome.failure
    assert failure is not None
    assert (outcome.verdict, failure.error_type, failure.attempts) == (Verdict.RETRY, "UpcastError", 1)
    assert failure.error == (
        f"the upcaster AddCurrency (1 to 2) of OrderPlaced raised ValueError for message {message.id}, "
        "written as version 1"
    )
    assert "in fail" in failure.traceback
    assert "4111" not in failure.error + failure.traceback


def test_an_upcaster_that_returns_nothing_is_the_handlers_failure(orders: Orders) -> None:
    orders.recall("a", 1, amount=7)
    orders.upcast = lambda data: data.update(currency="EUR")
    (outcome,) = orders.hand_over("OrderProjector", "a")
    assert outcome.failure is not None
    assert (
        "AddCurrency (1 to 2) of OrderPlaced returned NoneType instead of a dict for message" in outcome.failure.error
    )
    assert outcome.failure.error.endswith("return the data of version 2")


def test_what_an_upcaster_makes_must_fit_the_class(orders: Orders) -> None:
    orders.recall("a", 1, amount=7)
    orders.upcast = lambda data: data
    (outcome,) = orders.hand_over("OrderProjector", "a")
    assert outcome.failure is not None
    assert (outcome.verdict, outcome.failure.error_type) == (Verdict.DEAD, "DeserializationError")
    assert "OrderPlaced version 3 cannot be read: `currency` is required" in outcome.failure.error
    assert "was written as version 1 and read through AddCurrency (1 to 2), AmountIsTotal (2 to 3)" in (
        outcome.failure.error
    )


def test_a_retry_reads_the_message_anew_through_the_upcaster_that_was_mended(orders: Orders) -> None:
    orders.recall("a", 1, amount=7)
    orders.upcast = lambda data: 5
    executor = orders.executor("OrderProjector", EAGER)
    orders.hand_over("OrderProjector", "a", policy=EAGER)
    orders.upcast = None
    assert executor.retry(claimed(orders)) is None
    assert orders.seen("a") == (7, "EUR")
    assert failures(orders) == []


@pytest.mark.parametrize("handler", ["OrderProjector", "Mailer"])
def test_a_dead_letter_of_a_broken_upcaster_is_replayed_once_that_is_mended(orders: Orders, handler: str) -> None:
    orders.recall("a", 1, amount=7)
    orders.upcast = lambda data: 5
    orders.hand_over(handler, "a", policy=EAGER)
    left = orders.executor(handler, EAGER).retry(claimed(orders))
    assert left is not None
    assert left.state is FailureState.DEAD
    transaction = orders.domain.database().transaction()
    assert transaction.failures.release(FailureFilter(state=FailureState.DEAD)) == 1
    transaction.commit()
    orders.upcast = None
    seen: list[Any] = []
    orders.in_projector = orders.in_handler = seen.append
    assert orders.executor(handler, EAGER).retry(claimed(orders)) is None
    assert [(event.total, event.currency) for event in seen] == [(7, "EUR")]


def test_an_upcaster_may_change_what_it_is_given_however_often_the_message_is_handled(orders: Orders) -> None:
    orders.recall("a", 1, amount=7, notes={"read": []})
    attempts: list[str] = []

    def append(data: dict[str, Any]) -> dict[str, Any]:
        data["notes"]["read"].append("EUR")
        data["currency"] = "".join(data.pop("notes")["read"])
        return data

    def lose_a_race(event: Any) -> None:
        attempts.append(event.currency)
        if len(attempts) < 3:
            raise ExpectedVersionError("somebody was faster")

    orders.upcast, orders.in_projector = append, lose_a_race
    (outcome,) = orders.hand_over("OrderProjector", "a")
    assert outcome.verdict is Verdict.HANDLED
    assert attempts == ["EUR", "EUR", "EUR"]


def test_reading_says_what_it_does_not_know(orders: Orders) -> None:
    orders.recall("a", 4)
    orders.recall("a", 1, "OrderCancelled")
    registry, (newer, unknown) = orders.domain.registry, orders.log("a")
    with pytest.raises(UnknownTypeError, match="OrderPlaced has version 4, this process knows 3"):
        payload_of(registry, newer)
    with pytest.raises(UnknownTypeError, match="no event or command called 'OrderCancelled'"):
        payload_of(registry, unknown)


def test_an_upcasters_exit_is_not_swallowed(orders: Orders) -> None:
    def interrupted(data: dict[str, Any]) -> Any:
        raise KeyboardInterrupt

    orders.recall("a", 1, amount=7)
    orders.upcast = interrupted
    with pytest.raises(KeyboardInterrupt):
        orders.hand_over("OrderProjector", "a")
    orders.upcast = lambda data: None
    with pytest.raises(UpcastError):
        payload_of(orders.domain.registry, orders.log("a")[0])


def test_without_a_broker_older_events_are_brought_up_to_date_too() -> None:
    orders = build_orders({})
    with orders.domain.domain_context():
        orders.recall("a", 1, amount=7)
        orders.domain.process(orders.Ship(order_id=placed_without_event(orders, "a")))
        row = orders.domain.repository_for(orders.view).get("a")
        assert (row.total, row.currency, row.shipped) == (7, "EUR", 1)


def test_an_event_sourced_aggregate_is_replayed_from_events_of_every_year(stored: dict[str, Any]) -> None:
    domain = Domain("orders", config=stored)

    @domain.event(part_of="Order")
    class OrderPlaced:
        __version__ = 2
        order_id: Identifier(required=True)
        total: Integer(required=True)

    @domain.event(part_of="Order", aliases=["OrderSent"])
    class OrderShipped:
        order_id: Identifier(required=True)

    @domain.upcaster(event_type=OrderPlaced, from_version=1, to_version=2)
    class AmountIsTotal:
        def upcast(self, data: dict[str, Any]) -> dict[str, Any]:
            return {"order_id": data["order_id"], "total": data["amount"]}

    @domain.aggregate(event_sourced=True)
    class Order:
        total: Integer(default=0)
        shipped: Integer(default=0)

        @apply
        def placed(self, event: OrderPlaced) -> None:
            self.id, self.total = event.order_id, event.total

        @apply
        def sent(self, event: OrderShipped) -> None:
            self.shipped += 1

    domain.init()
    recalled = Orders(domain, None, None, Order, None)
    recalled.recall("a", 1, amount=7)
    recalled.recall("a", 1, "OrderSent")
    recalled.recall("a", 1, "OrderShipped")
    with domain.domain_context():
        order = domain.repository_for(Order).get("a")
    assert (order.total, order.shipped) == (7, 2)
    domain.close()
