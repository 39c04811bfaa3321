"""Everything that follows has happened, or it is said what has not, and why."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.support.fulfillment import Shop, build_shop

from protean import Domain, current_domain, handle
from protean.deliver import subscription
from protean.fields import Identifier, Integer
from protean.priority import Priority, processing_priority
from protean.testing import StuckError, drain, stopped_clock


@pytest.mark.proves("protean.testing.drain")
def test_what_follows_from_what_follows_has_happened_too(shop: Shop) -> None:
    """Placed, paid, shipped: a command, its event, a process, its command, that one's event, the process again."""
    with shop.domain.domain_context():
        shop.place("1")
        shop.pay("1")
        done = drain(shop.domain)
        assert (shop.status("1"), shop.found("1").told) == ("shipped", ["placed", "paid 10", "shipped"])
        assert (done.retried, done.timeouts, done.failures) == (0, 0, ())
        inline = shop.domain.outbox_broker is None
        assert (done.published, done.handled) == ((0, 0) if inline else (3, 3))
        again = drain(shop.domain)
        assert (again.published, again.handled) == (0, 0)


def test_retries_and_timeouts_come_when_their_time_does(shop: Shop) -> None:
    shop.fails.add("placed")
    with stopped_clock() as clock, shop.domain.domain_context():
        shop.place("1")
        with pytest.raises(StuckError) as stuck:
            drain(shop.domain)
        (failure,) = stuck.value.failures
        said = str(stuck.value)
        assert f"[Fulfillment] failed at OrderPlaced {failure.message_id[:8]}… of order-1, attempt 1, to be" in said
        assert "ValueError: cannot take placed" in said
        assert 'raise ValueError(f"cannot take {what}")' in said
        assert "clock.advance" in said
        assert drain(shop.domain, failures="leave").failures == (failure,)

        shop.fails.clear()
        clock.advance(seconds=2)
        assert drain(shop.domain).retried == 1
        assert shop.found("1").told == ["placed"]

        clock.advance(shop.reminder)
        assert drain(shop.domain).timeouts == 1
        assert shop.found("1").told == ["placed", "reminded"]
        clock.advance(shop.patience)
        assert drain(shop.domain).timeouts == 1
        assert shop.status("1") == "cancelled"


def test_dead_letters_are_told_with_their_traceback(shop: Shop) -> None:
    shop.fails.add("placed")
    with stopped_clock() as clock, shop.domain.domain_context():
        shop.place("1")
        for _ in range(4):
            drain(shop.domain, failures="leave")
            clock.advance(hours=1)
        with pytest.raises(StuckError, match="for good after 4 attempts: ValueError: cannot take placed"):
            drain(shop.domain)


def test_both_lanes_are_emptied_production_first(stored: dict[str, Any]) -> None:
    shop = build_shop({**stored, "server": {"priority_lanes": {"enabled": True}}})
    with shop.domain.domain_context():
        with processing_priority(Priority.LOW):
            shop.place("later")
        shop.place("now")
        drain(shop.domain)
        assert {shop.found(name).told[0] for name in ("later", "now")} == {"placed"}
        assert drain(shop.domain).handled == 0
    shop.domain.close()


def circle(config: dict[str, Any]) -> tuple[Domain, Any]:
    """A domain in which every event causes another."""
    domain = Domain("circle", config=config)

    @domain.event(part_of="Ball")
    class Bounced:
        ball_id: Identifier(required=True)

    @domain.aggregate
    class Ball:
        bounces: Integer(default=0)

    @domain.command(part_of=Ball)
    class Bounce:
        ball_id: Identifier(required=True)

    @domain.command_handler(part_of=Ball)
    class Wall:
        @handle(Bounce)
        def bounce(self, command: Any) -> None:
            balls = current_domain.repository_for(Ball)
            ball: Any = balls.get_or_none(command.ball_id) or Ball(id=command.ball_id)
            ball.bounces += 1
            ball.raise_(Bounced(ball_id=ball.id))
            balls.add(ball)

    @domain.event_handler(part_of=Ball)
    class OtherWall:
        @handle(Bounced)
        def bounced(self, event: Any) -> None:
            current_domain.process(Bounce(ball_id=event.ball_id))

    domain.init()
    return domain, Bounce


def test_reactions_without_an_end_are_found_and_named(stored: dict[str, Any]) -> None:
    domain, bounce = circle(stored)
    with domain.domain_context():
        domain.process(bounce(ball_id="1"))
        with pytest.raises(StuckError, match=r"after 10 rounds .* go round in a circle; the last messages: Bounced \("):
            drain(domain, rounds=10)
    domain.close()


def test_a_message_in_the_hands_of_another_process_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "READ_BLOCK", 0.0)
    config = {"event_processing": "async", "brokers": {"default": {"provider": "memory"}}}
    shop = build_shop(config)
    broker = shop.domain.broker()
    with shop.domain.domain_context():
        shop.place("1")
        broker.ensure_group("order", "Fulfillment")
        relayed = shop.domain.database().outbox
        assert relayed.count()[0].rows == 1
        broker.beat("another.server", 60)
        with shop.domain.database().outbox.claim(
            shop.domain.lanes.claim("default", shop.domain.lanes.in_use[0]), 10
        ) as batch:
            assert batch is not None
            with pytest.raises(StuckError, match="1 message of order is pending in the outbox of default"):
                drain(shop.domain)
        broker.publish([("order", b"{}")])
        broker.read("order", "Fulfillment", "another.server", 1, 0)
        with pytest.raises(StuckError, match=r"\[Fulfillment\] has 1 message on order: in hand of another.server"):
            drain(shop.domain)


def test_asynchronous_commands_and_subscribers_are_served(stored: dict[str, Any]) -> None:
    domain = Domain("till", config=stored)
    booked: list[int] = []

    @domain.aggregate
    class Account:
        balance: Integer(default=0)

    @domain.command(part_of=Account)
    class Book:
        amount: Integer(required=True)

    @domain.command_handler(part_of=Account)
    class Accountant:
        @handle(Book)
        def book(self, command: Any) -> int:
            booked.append(command.amount)
            return sum(booked)

    @domain.subscriber(stream="payments")
    class Payments:
        def __call__(self, payload: dict[str, Any]) -> None:
            current_domain.process(Book(**payload), asynchronous=True)

    domain.init()
    with domain.domain_context():
        sent = domain.process(Book(amount=1), asynchronous=True)
        domain.broker().publish([("payments", json.dumps({"amount": 5}).encode())])
        assert drain(domain).handled == 3
        assert sorted(booked) == [1, 5]
        assert domain.result_of(sent).result in (1, 6)
    domain.close()


def test_time_that_has_not_come_is_waited_for_by_nobody(shop: Shop) -> None:
    with stopped_clock() as clock, shop.domain.domain_context():
        shop.place("1")
        drain(shop.domain)
        clock.advance(shop.reminder - timedelta(seconds=1))
        assert drain(shop.domain).timeouts == 0
        assert shop.timeouts("1") == ["reminder", "unpaid"]
