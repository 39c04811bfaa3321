"""What travels with messages: who caused them, for whom, and what enrichers say; and what a handler can ask."""

from __future__ import annotations

import contextvars
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.stores import stored
from tests.support.years import Orders, build_orders

from protean import CurrentMessage, Domain, UnitOfWork, current_message, g
from protean.exceptions import ConfigurationError, ExpectedVersionError, InvalidOperationError
from protean.handle.retry import RetryPolicy
from protean.ports.handling import Verdict
from protean.ports.progress import Failure, FailureFilter, FailureState
from protean.priority import Priority, current_priority, processing_priority

__all__ = ["stored"]

EAGER = RetryPolicy(max_retries=1, base_delay=0.0, jitter=0.0)


@pytest.fixture
def orders(stored: dict[str, Any]) -> Iterator[Orders]:
    """With a tenant that travels."""
    orders = build_orders({**stored, "context": {"propagate": ["tenant_id"]}})
    with orders.domain.domain_context():
        yield orders
    orders.domain.close()


@pytest.fixture
def at_once() -> Iterator[Orders]:
    """The same in memory, with handlers that run right after the commit."""
    orders = build_orders({"context": {"propagate": ["tenant_id"]}})
    with orders.domain.domain_context():
        yield orders
    orders.domain.close()


def ship_when_placed(orders: Orders) -> None:
    """Let the mailer send a command of its own for every order placed."""

    def ship(event: Any) -> None:
        if type(event).__name__ == "OrderPlaced":
            orders.domain.process(orders.Ship(order_id=event.order_id))

    orders.in_handler = ship


def seen_by(orders: Orders, who: str) -> list[Any]:
    return [surroundings for name, surroundings in orders.told if name == who]


def claimed(orders: Orders) -> Failure:
    transaction = orders.domain.database().transaction()
    try:
        (failure,) = transaction.failures.claim(FailureFilter(state=FailureState.WAITING), 10, 30.0)
        transaction.commit()
        return failure
    finally:
        transaction.rollback()


class TestCausation:
    def test_the_whole_tree_leads_back_to_the_command_it_began_with(self, orders: Orders) -> None:
        ship_when_placed(orders)
        orders.place("a", correlation_id="request-7")
        orders.hand_over("Mailer", "a")
        orders.hand_over("OrderProjector", "a")
        placed, shipped = orders.log("a")
        (place,), (ship,) = seen_by(orders, "Place"), seen_by(orders, "Ship")
        assert {placed.correlation_id, shipped.correlation_id} == {"request-7"}
        assert (place.message.correlation_id, place.message.causation_id) == ("request-7", None)
        assert placed.causation_id == place.message.id
        assert (ship.message.correlation_id, ship.message.causation_id) == ("request-7", placed.id)
        assert shipped.causation_id == placed.id
        handled = [each.message for each in seen_by(orders, "OrderProjector")]
        assert [(each.id, each.causation_id) for each in handled] == [
            (placed.id, placed.causation_id),
            (shipped.id, shipped.causation_id),
        ]

    def test_a_command_without_a_correlation_begins_one_of_its_own(self, orders: Orders) -> None:
        orders.place("a")
        orders.place("b")
        (a,), (b,) = orders.log("a"), orders.log("b")
        assert a.correlation_id == a.causation_id
        assert a.correlation_id != b.correlation_id

    def test_commands_inside_a_command_are_a_part_of_it(self, orders: Orders) -> None:
        orders.in_command = lambda command: (
            orders.domain.process(orders.Ship(order_id="a")) if type(command).__name__ == "Place" else None
        )
        with UnitOfWork():
            orders.place("a")
        placed, shipped = orders.log("a")
        assert placed.causation_id == shipped.causation_id == seen_by(orders, "Place")[0].message.id
        assert seen_by(orders, "Ship")[0].message.causation_id == placed.causation_id

    def test_events_of_nobodys_command_have_no_cause_and_a_correlation_of_their_own(self, orders: Orders) -> None:
        order = orders.order(id="a")
        order.raise_(orders.event("OrderShipped")(order_id="a"))
        orders.domain.repository_for(orders.order).add(order)
        (message,) = orders.log("a")
        assert (message.causation_id, message.correlation_id) == (None, message.id)

    @pytest.mark.parametrize("handler", ["Mailer", "OrderProjector"])
    def test_retries_and_replays_of_dead_letters_have_the_same_surroundings_at_every_attempt(
        self, orders: Orders, handler: str
    ) -> None:
        g.tenant_id = "acme"
        with processing_priority(Priority.LOW):
            orders.place("a", correlation_id="request-7")
        g.tenant_id = "somebody else"
        priorities: list[int] = []

        def fail(event: Any) -> None:
            priorities.append(current_priority())
            if len(priorities) < 3:
                raise ValueError("not yet")

        orders.in_handler = orders.in_projector = fail
        (outcome,) = orders.hand_over(handler, "a", policy=EAGER)
        assert outcome.verdict is Verdict.RETRY
        executor = orders.executor(handler, EAGER)
        left = executor.retry(claimed(orders))
        assert left is not None
        assert left.state is FailureState.DEAD
        transaction = orders.domain.database().transaction()
        transaction.failures.release(FailureFilter(state=FailureState.DEAD))
        transaction.commit()
        assert executor.retry(claimed(orders)) is None
        (message,), seen = orders.log("a"), seen_by(orders, handler)
        assert [(each.message.id, each.message.correlation_id, each.tenant) for each in seen] == [
            (message.id, "request-7", "acme")
        ] * 3
        assert priorities == [Priority.LOW] * 3


class TestWhatIsInHand:
    def test_a_handler_can_ask_for_all_the_log_knows(self, orders: Orders) -> None:
        g.tenant_id = "acme"
        orders.place("a")
        orders.hand_over("Mailer", "a")
        (message,), (seen,) = orders.log("a"), seen_by(orders, "Mailer")
        assert seen.message == CurrentMessage(
            id=message.id,
            type="OrderPlaced",
            version=3,
            correlation_id=str(message.correlation_id),
            causation_id=message.causation_id,
            time=message.time,
            headers={"tenant_id": "acme"},
            stream_name="order-a",
            position=0,
            global_position=message.global_position,
        )

    def test_a_command_where_it_is_sent_is_in_no_log(self, orders: Orders) -> None:
        orders.place("a")
        (seen,) = seen_by(orders, "Place")
        assert (seen.message.type, seen.message.stream_name, seen.message.position) == ("Place", None, None)
        assert seen.message.time <= orders.log("a")[0].time

    def test_what_a_handler_does_to_the_headers_is_its_own_affair(self, orders: Orders) -> None:
        @orders.domain.command_enricher
        def who(command: object) -> dict[str, Any]:
            return {"user": ["ada"]} if type(command).__name__ == "Place" else {}

        def spoil(event: Any) -> None:
            headers: Any = current_message().headers
            headers["user"].append("eve")
            headers["role"] = "admin"
            orders.domain.process(orders.Ship(order_id=event.order_id))

        orders.place("a")
        orders.in_handler = spoil
        orders.hand_over("Mailer", "a")
        assert [message.headers for message in orders.log("a")] == [{"user": ["ada"]}] * 2

    def test_outside_a_handler_nothing_is_in_hand(self) -> None:
        with pytest.raises(InvalidOperationError, match="no message is being handled here"):
            current_message()


class TestPropagation:
    def test_the_tenant_is_there_again_in_every_handler_and_in_what_that_causes(self, orders: Orders) -> None:
        ship_when_placed(orders)
        g.tenant_id = "acme"
        orders.place("a")
        g.tenant_id = "globex"
        orders.place("b")
        del g.tenant_id
        orders.place("c")
        for name in "abc":
            orders.hand_over("Mailer", name)
        assert [seen.tenant for seen in seen_by(orders, "Ship")] == ["acme", "globex", None]
        tenants = [[message.headers.get("tenant_id") for message in orders.log(name)] for name in "abc"]
        assert tenants == [["acme"] * 2, ["globex"] * 2, [None] * 2]
        assert "tenant_id" not in orders.log("c")[0].headers

    def test_in_a_gap_every_message_has_its_own(self, orders: Orders) -> None:
        from tests.support.bank import always, delivery

        with orders.domain.domain_context(tenant_id="acme"):
            orders.place("a")
        with orders.domain.domain_context(tenant_id="globex"):
            orders.domain.process(orders.Ship(order_id="a"))
        last = delivery(orders.log("a")[-1])
        orders.executor("OrderProjector").execute([last], grouped=False, go_on=always)
        assert [seen.tenant for seen in seen_by(orders, "OrderProjector")] == ["acme", "globex"]

    def test_without_a_broker_handlers_have_the_messages_tenant_and_nothing_else_of_the_caller(
        self, at_once: Orders
    ) -> None:
        ship_when_placed(at_once)
        others: list[bool] = []
        at_once.in_projector = lambda event: others.append("request_id" in g)
        with at_once.domain.domain_context(tenant_id="acme", request_id="r"):
            at_once.place("a")
            assert (g.tenant_id, g.request_id) == ("acme", "r")
        assert {seen.tenant for _, seen in at_once.told} == {"acme"}
        assert others == [False, False]

    def test_a_context_opened_inside_a_handler_keeps_the_tenant_unless_told(self, orders: Orders) -> None:
        seen: list[Any] = []

        def inside(event: Any) -> None:
            with orders.domain.domain_context():
                seen.append(g.tenant_id)
            with orders.domain.domain_context(tenant_id="globex"):
                seen.append(g.tenant_id)
            seen.append(g.tenant_id)

        orders.in_handler = inside
        with orders.domain.domain_context(tenant_id="acme"):
            orders.place("a")
        orders.hand_over("Mailer", "a")
        assert seen == ["acme", "globex", "acme"]

    def test_threads_do_not_mix_their_tenants(self, at_once: Orders) -> None:
        tenants = [f"tenant-{number}" for number in range(8)]
        failed: list[BaseException] = []

        def work(tenant: str) -> None:
            try:
                for number in range(25):
                    with at_once.domain.domain_context(tenant_id=tenant):
                        at_once.place(f"{tenant}-{number}")
            except BaseException as error:  # noqa: BLE001  # it fails the test below
                failed.append(error)

        threads = [threading.Thread(target=contextvars.Context().run, args=(work, tenant)) for tenant in tenants]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failed == []
        mixed = [
            seen
            for who, seen in at_once.told
            if who != "Place" and not str(seen.message.stream_name).startswith(f"order-{seen.tenant}-")
        ]
        assert (len(at_once.told), mixed) == (600, [])

    def test_what_a_handler_takes_out_of_g_goes_along_no_further(self, orders: Orders) -> None:
        def ship_for_nobody(event: Any) -> None:
            del g.tenant_id
            orders.domain.process(orders.Ship(order_id=event.order_id))

        with orders.domain.domain_context(tenant_id="acme"):
            orders.place("a")
        orders.in_handler = ship_for_nobody
        orders.hand_over("Mailer", "a")
        assert [message.headers for message in orders.log("a")] == [{"tenant_id": "acme"}, {}]

    def test_none_in_g_goes_along(self, orders: Orders) -> None:
        with orders.domain.domain_context(tenant_id=None):
            orders.place("a")
        assert [message.headers for message in orders.log("a")] == [{"tenant_id": None}]

    def test_a_list_in_g_is_at_every_attempt_as_it_was_when_the_event_was_raised(self, orders: Orders) -> None:
        seen: list[list[str]] = []

        def change(event: Any) -> None:
            seen.append(list(g.tenant_id))
            g.tenant_id.append("in a handler")
            if len(seen) < 3:
                raise ExpectedVersionError("somebody was faster")

        g.tenant_id = ["acme"]
        orders.in_command = lambda command: g.tenant_id.append("later")
        orders.place("a")
        orders.in_handler = change
        orders.hand_over("Mailer", "a")
        assert seen == [["acme", "later"]] * 3

    def test_what_json_cannot_hold_is_refused_before_anything_is_saved(self, orders: Orders) -> None:
        g.tenant_id = uuid.UUID(int=1)
        with pytest.raises(InvalidOperationError, match=r"`g\.tenant_id`, which \[context\] propagates, contains UUID"):
            orders.place("a")
        assert orders.log("a") == []

    def test_a_domain_that_is_called_by_anothers_handler_knows_the_tenant(self, at_once: Orders) -> None:
        other = build_orders({"context": {"propagate": ["tenant_id"]}})

        def call(event: Any) -> None:
            other.place("b")

        at_once.in_handler = call
        with at_once.domain.domain_context(tenant_id="acme"):
            at_once.place("a")
        (ours,), (theirs,) = at_once.log("a"), other.log("b")
        assert (theirs.headers, theirs.correlation_id, theirs.causation_id) == (
            {"tenant_id": "acme"},
            ours.correlation_id,
            ours.id,
        )
        assert {seen.tenant for _, seen in other.told} == {"acme"}

    @pytest.mark.parametrize("name", ["id", "correlation_id", "get", "_private", "not a name", "", "tenant-id"])
    def test_only_names_that_can_travel_are_propagated(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match=r"`propagate` in \[context\] names"):
            Domain("wrong", config={"context": {"propagate": [name]}})


class TestEnrichers:
    def test_what_enrichers_say_is_in_the_headers_of_every_message(self, orders: Orders) -> None:
        @orders.domain.command_enricher
        def who(command: object) -> dict[str, str]:
            return {"user": g.get("user", "nobody")}

        @orders.domain.event_enricher
        def about(event: object, order: Any) -> dict[str, Any]:
            return {"total": order.total, "event": type(event).__name__}

        ship_when_placed(orders)
        g.user = "ada"
        orders.place("a")
        orders.hand_over("Mailer", "a")
        placed, shipped = orders.log("a")
        assert placed.headers == {"user": "ada", "total": 3, "event": "OrderPlaced"}
        assert shipped.headers == {"user": "nobody", "total": 3, "event": "OrderShipped"}

    def test_a_commands_headers_are_inherited_by_all_that_it_causes(self, orders: Orders) -> None:
        @orders.domain.command_enricher
        def who(command: object) -> dict[str, str]:
            return {"user": "ada"} if type(command).__name__ == "Place" else {}

        ship_when_placed(orders)
        orders.place("a")
        orders.hand_over("Mailer", "a")
        assert [message.headers for message in orders.log("a")] == [{"user": "ada"}] * 2

    @pytest.mark.parametrize(
        ("said", "text"),
        [
            (None, "the event enricher wrong returned NoneType for OrderPlaced; it returns a dict of headers, {} for"),
            ([("a", 1)], "returned list for OrderPlaced"),
            ({"id": "x"}, "the event enricher wrong for OrderPlaced: `id` is what every message says of itself"),
            ({"stream_name": "x"}, "`stream_name` is what every message says of itself"),
            ({5: "x"}, "5 is no name of a header"),
            ({"": "x"}, "'' is no name of a header"),
            ({"x" * 101: "x"}, "is no name of a header; use a text of 1 to 100 characters"),
            ({"a\0": "x"}, "the name of a header contains a NUL character"),
            ({"a": object()}, "`a` contains <object object"),
            ({"a": float("nan")}, "`a` contains nan, which JSON cannot hold"),
            ({"a": "\ud800"}, "lone surrogates"),
            ({"a": 2**64}, "`a` contains an integer beyond 64 bits"),
            ({"a": {1: "x"}}, "contains the key 1; keys are texts"),
            ({"a": "x" * 9000, "b": 1}, "the headers of OrderPlaced have 9017 characters of JSON, more than 8192, and"),
        ],
    )
    def test_headers_that_cannot_travel_are_refused_and_nothing_is_saved(
        self, orders: Orders, said: Any, text: str
    ) -> None:
        @orders.domain.event_enricher
        def wrong(event: object) -> Any:
            return said

        with pytest.raises(InvalidOperationError) as caught:
            orders.place("a")
        assert text in str(caught.value)
        assert orders.log("a") == []
        assert orders.domain.repository_for(orders.order).get_or_none("a") is None

    def test_an_enricher_that_raises_says_who_it_is(self, orders: Orders) -> None:
        @orders.domain.event_enricher
        def wrong(event: object) -> dict[str, Any]:
            raise LookupError("no session")

        with pytest.raises(LookupError, match="no session") as caught:
            orders.place("a")
        assert caught.value.__notes__ == ["raised by the event enricher wrong for OrderPlaced"]
        assert orders.log("a") == []

    def test_two_that_disagree_are_told_apart(self, orders: Orders) -> None:
        @orders.domain.event_enricher
        def first(event: object) -> dict[str, str]:
            return {"region": "eu", "same": "x"}

        @orders.domain.event_enricher
        def second(event: object) -> dict[str, str]:
            return {"region": "us", "same": "x"}

        with pytest.raises(
            InvalidOperationError,
            match="the event enricher first and the event enricher second disagree about the header `region`",
        ):
            orders.place("a")

    def test_two_that_agree_are_no_error(self, orders: Orders) -> None:
        @orders.domain.event_enricher
        def first(event: object) -> dict[str, str]:
            return {"region": "eu", "first": "x"}

        @orders.domain.event_enricher
        def second(event: object) -> dict[str, str]:
            return {"region": "eu", "second": "x"}

        orders.place("a")
        assert [message.headers for message in orders.log("a")] == [{"region": "eu", "first": "x", "second": "x"}]

    def test_an_enricher_knows_better_than_g(self, orders: Orders) -> None:
        @orders.domain.command_enricher
        def tenant(command: object) -> dict[str, str]:
            return {"tenant_id": "acme"}

        @orders.domain.event_enricher
        def tenant_too(event: object) -> dict[str, str]:
            return {"tenant_id": "acme"}

        orders.place("a")
        orders.hand_over("Mailer", "a")
        assert [seen.tenant for seen in seen_by(orders, "Mailer")] == ["acme"]
