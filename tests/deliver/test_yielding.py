"""Backfill yields before each message, also to production that comes while it is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from protean.adapters.memory.broker import MemoryBroker
from protean.deliver.gate import LaneGate, Passage
from protean.deliver.lanes import Lane
from protean.deliver.subscription import LaneRoute, Subscription
from protean.ports.handling import Delivery, Outcome, Verdict

STREAM, GROUP = "account:backfill", "Ledger"


def test_a_group_is_told_to_end_as_soon_as_production_has_work() -> None:
    broker, gate, stopping = MemoryBroker(), LaneGate(), threading.Event()
    production, answers = gate.slot(0), list[bool]()

    def execute(deliveries: Sequence[Delivery], *, grouped: bool, go_on: Callable[[], bool]) -> list[Outcome]:
        answers.append(go_on())
        production.close()
        answers.append(go_on())
        stopping.set()
        return [Outcome(Verdict.HANDLED, "m", "Opened")]

    broker.ensure_group(STREAM, GROUP)
    broker.publish([(STREAM, b"{}")] * 2)
    broker.beat("me", 60.0)
    backfill = Subscription(
        LaneRoute(GROUP, STREAM, Lane.BACKFILL),
        broker,
        "me",
        execute,
        bury=lambda failure: None,
        bereave=lambda dead: None,
        passage=Passage(gate),
    )
    backfill.run(stopping)
    assert answers == [True, False]
    assert broker.stream(STREAM).length == 1
