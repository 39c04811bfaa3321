"""A lane that somebody pauses rests on every engine, until it is resumed or the pause expires; the others go on."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from tests.server.conftest import Cluster, wait_for

from protean.exceptions import InvalidOperationError
from protean.server.control import Controls
from protean.utils.processing import Priority, processing_priority


def paused(cluster: Cluster, handler: str, lane: str) -> bool:
    """Whether every engine knows."""
    return all(
        engine._assembly.pauses.of(handler, lane) is not None for engine in cluster.engines
    )  # no other way to know when


def at_work(cluster: Cluster) -> list[str]:
    """What each engine says of the thread that the pause is about."""
    return [
        thread.detail
        for engine in cluster.engines
        for thread in engine.report().threads
        if thread.name == "LedgerProjector on account:backfill"
    ]


def rests(detail: str) -> bool:
    return detail.startswith("paused by a test until ") and detail.endswith(": too much at once")


def test_a_paused_lane_rests_on_every_engine_and_the_others_go_on(cluster: Cluster) -> None:
    cluster.start(2)
    controls = Controls(cluster.bank.domain)
    controls.pause("LedgerProjector", "backfill", reason="too much at once", actor="a test")
    wait_for(lambda: paused(cluster, "LedgerProjector", "backfill"))

    cluster.bank.open("acc-0")
    with processing_priority(Priority.LOW):
        cluster.bank.deposit("acc-0")
        cluster.bank.rename("acc-0", "Ada")

    wait_for(lambda: cluster.bank.applied("acc-0") == [0])
    broker = cluster.bank.domain.broker()
    wait_for(
        lambda: (
            [g.lag + g.pending for g in broker.stream("account:backfill").groups if g.name == "OwnerProjector"] == [0]
        ),
        lambda: str(broker.stream("account:backfill")),
    )
    assert cluster.bank.applied("acc-0") == [0]
    wait_for(lambda: [rests(each) for each in at_work(cluster)] == [True, True], lambda: str(at_work(cluster)))

    assert controls.resume("LedgerProjector", "backfill", actor="a test")
    wait_for(lambda: cluster.bank.applied("acc-0") == [0, 1, 2])
    cluster.settle()


def test_a_pause_ends_by_itself(cluster: Cluster) -> None:
    controls = Controls(cluster.bank.domain)
    controls.pause("LedgerProjector", "primary", reason="a moment", actor="a test", lasting=timedelta(seconds=3))
    cluster.start()
    assert paused(cluster, "LedgerProjector", "primary")
    cluster.bank.open("acc-0")

    wait_for(lambda: cluster.bank.applied("acc-0") == [0])

    assert controls.pauses() == []


def test_backfill_does_not_wait_for_what_a_paused_production_leaves(cluster: Cluster) -> None:
    controls = Controls(cluster.bank.domain)
    cluster.bank.open("acc-0")
    controls.pause("LedgerProjector", "primary", reason="it is broken", actor="a test")
    cluster.start()
    with processing_priority(Priority.LOW):
        cluster.bank.open("acc-1")

    wait_for(lambda: cluster.bank.applied("acc-1") == [0])
    time.sleep(3.0)  # by now the backlog would be confirmed, if it were one
    with processing_priority(Priority.LOW):
        cluster.bank.deposit("acc-1")
    wait_for(lambda: cluster.bank.applied("acc-1") == [0, 1])

    assert cluster.bank.applied("acc-0") == []


def test_retries_rest_too(cluster: Cluster) -> None:
    controls = Controls(cluster.bank.domain)
    cluster.bank.open("acc-0")
    cluster.start(fails={"acc-0:0"})
    wait_for(lambda: cluster.banks[0].calls.count(("acc-0", 0)) >= 1)
    controls.pause("LedgerProjector", "primary", reason="it is broken", actor="a test")
    wait_for(lambda: paused(cluster, "LedgerProjector", "primary"))
    cluster.banks[0].fails = set()
    controls.resume("LedgerProjector", "primary", actor="a test")

    wait_for(lambda: cluster.bank.applied("acc-0") == [0])


def test_what_was_done_is_on_record(cluster: Cluster) -> None:
    controls = Controls(cluster.bank.domain)
    controls.pause("LedgerProjector", "primary", reason="a deployment", actor="Ada")
    controls.resume("LedgerProjector", "primary", actor="Grace")
    assert not controls.resume("LedgerProjector", "primary", actor="Grace")

    transaction = cluster.bank.domain.database().transaction()
    recorded = [(each.kind, each.actor, each.target, each.reason) for each in transaction.control.operations(10)]
    transaction.rollback()
    assert recorded == [
        ("resume", "Grace", "LedgerProjector, primary lane", ""),
        ("pause", "Ada", "LedgerProjector, primary lane", "a deployment"),
    ]


@pytest.mark.parametrize(
    ("what", "reason", "hours", "said"),
    [
        (
            ("LedgerProjecter", "primary"),
            "x",
            1,
            "there is no handler 'LedgerProjecter', did you mean `LedgerProjector`?",
        ),
        (("LedgerProjector", "second"), "x", 1, "there is no lane 'second'; this domain has primary and backfill"),
        (("LedgerProjector", "primary"), " ", 1, "a pause needs a reason, of at most 500 characters"),
        (("LedgerProjector", "primary"), "x", 0, "a pause lasts up to 7 days, not 0:00:00"),
        (("LedgerProjector", "primary"), "x", 200, "a pause lasts up to 7 days, not 8 days, 8:00:00"),
    ],
)
def test_what_cannot_be_paused_is_refused(
    cluster: Cluster, what: tuple[str, str], reason: str, hours: float, said: str
) -> None:
    controls = Controls(cluster.bank.domain)

    with pytest.raises(InvalidOperationError) as refused:
        controls.pause(*what, reason=reason, actor="a test", lasting=timedelta(hours=hours))

    assert str(refused.value) == said
    assert controls.pauses() == []
