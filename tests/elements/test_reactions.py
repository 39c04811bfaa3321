"""Declaring process managers and subscribers: what cannot work is refused, with what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protean import handle, handle_timeout
from protean.elements.declarations import Declarations
from protean.exceptions import ConfigurationError
from protean.fields import Identifier, Integer, String


def body(*methods: Callable[..., Any], **fields: Any) -> type:
    return type("Flow", (), {"__module__": __name__, **{m.__name__: m for m in methods}, **fields})


def reacts(message: str = "Placed", name: str = "react", **options: Any) -> Callable[..., Any]:
    def react(self: object, event: object) -> None: ...

    react.__name__ = name
    return handle(message, **options)(react)


@pytest.fixture
def shop(domain: Declarations) -> Declarations:
    domain.aggregate(type("Order", (), {"__module__": __name__}))
    domain.aggregate(provider="elsewhere")(type("Parcel", (), {"__module__": __name__}))
    for name, owner in (("Placed", "Order"), ("Shipped", "Order"), ("Sent", "Parcel")):
        fields = {"order_id": Identifier(required=True), "__module__": __name__}
        domain.event(part_of=owner)(type(name, (), fields))
    return domain


def test_the_field_that_events_are_told_apart_by_is_the_identity_whether_declared_or_not(shop: Declarations) -> None:
    flow: Any = shop.process_manager(aggregates=["Order"])(
        body(reacts(start=True, correlate="order_id"), paid=Integer(default=0))
    )
    assert flow.__protean__.identity == "order_id"
    assert flow(order_id="a").paid == 0
    (spec,) = shop.registry.handlers
    assert (spec.name, spec.sequenced, spec.categories) == ("Flow", True, ("order", "flow"))
    assert set(spec.methods) == {"Placed", "FlowTimedOut"}
    assert shop.registry.provider_of("flow") == "default"
    assert shop.registry.processes == (flow,)


def test_the_fields_of_process_and_event_may_have_different_names(shop: Declarations) -> None:
    shop.process_manager(body(reacts(start=True, correlate={"order": "order_id"}), order=Identifier()))
    (spec,) = shop.registry.handlers
    assert spec.process is not None
    step = spec.process.steps["Placed"]
    assert (step.key, step.source, step.start, step.end) == ("order", "order_id", True, False)


@pytest.mark.parametrize(
    ("cls", "text"),
    [
        (lambda: body(reacts()), "by nothing: give its @handle `correlate`"),
        (
            lambda: body(reacts(start=True, correlate="order_id"), reacts("Shipped", "other", correlate="id")),
            "by order_id, id: choose one",
        ),
        (
            lambda: body(reacts(start=True, correlate="order_id"), number=Identifier(identifier=True)),
            "`number` of Flow is marked as identifier",
        ),
        (
            lambda: body(reacts(start=True, correlate="order_id"), note=String(required=True)),
            "begins with nothing but its `order_id`",
        ),
        (
            lambda: body(reacts(start=True, correlate="order_id"), completed_at=String()),
            "`completed_at` of Flow: this field is the framework's own",
        ),
        (lambda: body(reacts(start=True)), "`start` and `end` are about a process"),
        (lambda: body(reacts(correlate={"a": "b", "c": "d"})), "give a field's name, or one pair"),
        (lambda: body(handle_timeout("")(reacts(correlate="order_id"))), "takes the timeout's name"),
    ],
)
def test_what_cannot_be_declared_says_what_to_write(shop: Declarations, cls: Callable[[], type], text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        shop.process_manager(cls())
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("cls", "text"),
    [
        (lambda: body(reacts(correlate="order_id")), "Flow never begins"),
        (
            lambda: body(reacts(start=True, correlate="order_id"), reacts("Shipped", "other")),
            "Flow handles Shipped without `correlate`",
        ),
        (
            lambda: body(reacts(start=True, correlate={"order_id": "ordr_id"})),
            "finds the process of Placed by `ordr_id`",
        ),
        (
            lambda: body(reacts(start=True, correlate="order_id"), reacts("Sent", "sent", correlate="order_id")),
            "is kept in the database 'default' and Sent is in 'elsewhere'",
        ),
    ],
)
def test_what_does_not_fit_together_is_reported(shop: Declarations, cls: Callable[[], type], text: str) -> None:
    shop.process_manager(cls())
    with pytest.raises(ConfigurationError) as caught:
        shop.registry.compile()
    assert text in str(caught.value)


def test_only_a_process_manager_has_processes_to_tell_apart(shop: Declarations) -> None:
    shop.event_handler(body(reacts(correlate="order_id")))
    with pytest.raises(ConfigurationError, match=r"has a use for; Flow is declared with @domain\.event_handler"):
        shop.registry.compile()


def test_a_process_manager_shares_neither_table_nor_stream(shop: Declarations) -> None:
    declare = shop.process_manager(schema_name="order", stream_category="order")
    declare(body(reacts(start=True, correlate="order_id")))
    with pytest.raises(ConfigurationError, match="share the table `order`") as caught:
        shop.registry.compile()
    assert "share the stream `order`" in str(caught.value)


def test_a_subscriber_is_called_with_what_its_stream_brings(shop: Declarations) -> None:
    class Flow:
        def __call__(self, payload: dict[str, Any]) -> None: ...

    shop.subscriber(stream="payments", broker="theirs")(Flow)
    (spec,) = shop.registry.subscribers
    assert (spec.stream, spec.broker, spec.provider, spec.handler.name) == ("payments", "theirs", "default", "Flow")
    assert spec.handler in shop.registry.consumers
    assert shop.registry.handlers == ()
    assert shop.registry.handlers_of("payments") == ()


@pytest.mark.parametrize("stream", [None, "", 5, "a\nb", "x" * 256])
def test_a_subscriber_names_its_stream(shop: Declarations, stream: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"name one: @domain.subscriber\(stream="):
        shop.subscriber(**({} if stream is None else {"stream": stream}))(body())


def test_a_subscriber_can_be_called(shop: Declarations) -> None:
    with pytest.raises(ConfigurationError, match=r"give it `def __call__\(self, payload: dict\)"):
        shop.subscriber(stream="payments")(body())
