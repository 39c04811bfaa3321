"""What an engine says of its work: every step while somebody watches, durations by the minute, and nothing else."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import Any

import pytest
from tests.server.conftest import Cluster, wait_for

from protean.exceptions import BrokerUnavailableError
from protean.histogram import Histogram
from protean.ports.broker import Broker
from protean.server import signalling as module
from protean.server.signalling import Recorder, Said, Signaller
from protean.utils.processing import Priority, processing_priority

#: What INTERFACE promises of every trace.
KEYS = {
    "event", "stream", "message_id", "message_type", "handler", "duration_ms", "latency_ms", "priority",
    "correlation_id", "causation_id", "worker", "timestamp",
}  # fmt: skip


def traces(broker: Broker) -> list[dict[str, Any]]:
    return [trace for _, batch in broker.read_traces("0", 10_000, 0.0) for trace in json.loads(batch)]


def minutes(broker: Broker) -> dict[tuple[str, str], Histogram]:
    """End to end, by stream and handler, of the last minutes."""
    found: dict[tuple[str, str], Histogram] = {}
    now = int(time.time() // 60)
    for texts in broker.read_minutes(range(now - 2, now + 1)).values():
        for text in texts:
            for each in json.loads(text):
                key = each["stream"], each["handler"]
                found.setdefault(key, Histogram()).merge(Histogram.from_plain(each["latency"]))
    return found


def watching(cluster: Cluster) -> None:
    """Somebody watches, and every engine knows."""
    cluster.bank.domain.broker().watch(60.0)
    wait_for(lambda: all(bank.domain.signals.tracing for bank in cluster.banks))


def test_every_step_of_a_message_is_told_with_its_lane(cluster: Cluster) -> None:
    cluster.start()
    watching(cluster)
    broker = cluster.bank.domain.broker()

    cluster.bank.open("acc-0")
    with processing_priority(Priority.LOW):
        cluster.bank.deposit("acc-0")
    cluster.settle()

    wait_for(
        lambda: Counter(each["event"] for each in traces(broker))["message.acked"] >= 4, lambda: str(traces(broker))
    )
    told = traces(broker)
    ledger = [
        (each["event"], each["stream"], each["message_type"], each["priority"])
        for each in told
        if each["handler"] in (None, "LedgerProjector")
    ]
    for stream, kind, priority in [("account", "Opened", 0), ("account:backfill", "Deposited", -50)]:
        steps = [(event, about) for event, where, about, rank in ledger if where == stream and rank in (priority, None)]
        assert ("outbox.published", kind) in steps  # marked a moment after the stream has it: anywhere among the others
        assert [step for step in steps if step[0] != "outbox.published"] == [
            ("handler.started", kind),
            ("handler.completed", kind),
            ("message.acked", kind),
        ]
    assert all(each.keys() >= KEYS for each in told)
    completed = [each for each in told if each["event"] == "handler.completed"]
    assert all(0.0 < each["duration_ms"] <= each["latency_ms"] < 60_000 for each in completed)
    assert all(each["correlation_id"] for each in completed)
    assert {each["worker"] for each in told} == {cluster.engines[0].consumer}


def test_failures_are_told_by_their_kind_and_never_by_what_they_say(cluster: Cluster) -> None:
    cluster.bank.open("acc-0")
    cluster.start(fails={"acc-0:0"})
    watching(cluster)
    broker = cluster.bank.domain.broker()

    wait_for(lambda: "message.dlq" in {each["event"] for each in traces(broker)}, lambda: str(traces(broker)))

    told = [each for each in traces(broker) if each["handler"] == "LedgerProjector" and "error" in each]
    assert {"handler.failed", "message.retried", "message.dlq"} >= {each["event"] for each in told} >= {"message.dlq"}
    assert all(set(each["error"]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") for each in told)


def test_while_nobody_watches_durations_are_counted_and_steps_are_not_told(cluster: Cluster) -> None:
    cluster.start()
    for number in range(5):
        cluster.bank.open(f"acc-{number}")
    cluster.settle()
    broker = cluster.bank.domain.broker()
    key = ("account", "LedgerProjector")

    wait_for(lambda: minutes(broker).get(key, Histogram()).count == 5, lambda: str(minutes(broker)))

    assert traces(broker) == []
    median = minutes(broker)[key].quantile(0.5)
    assert median is not None
    assert 0.0 < median < 60.0


def test_without_history_and_watchers_nothing_is_said_at_all(cluster: Cluster) -> None:
    cluster.config["observatory"] = {"history": 0}
    cluster.start()
    cluster.bank.open("acc-0")
    cluster.settle()
    time.sleep(2 * module.MINUTE_INTERVAL)

    signals = cluster.banks[0].domain.signals
    assert isinstance(signals, Recorder)
    assert not signals.wanted
    assert list(signals.said()) == []
    assert minutes(cluster.bank.domain.broker()) == {}


def test_what_was_rolled_back_is_not_told_as_completed(cluster: Cluster) -> None:
    names = [f"acc-{number}" for number in range(10)]
    with processing_priority(Priority.LOW):
        for name in names:
            cluster.bank.open(name)
    cluster.bank.domain.broker().watch(60.0)
    cluster.start(fails={"acc-7:0"})
    watching(cluster)
    broker = cluster.bank.domain.broker()

    wait_for(lambda: "message.dlq" in {each["event"] for each in traces(broker)}, lambda: str(traces(broker)))

    completed = Counter(
        each["message_id"]
        for each in traces(broker)
        if each["event"] == "handler.completed" and each["handler"] == "LedgerProjector"
    )
    assert set(completed.values()) <= {1}


def test_who_tells_late_counts_into_the_minute_that_runs_and_only_first_attempts_count_as_latency(
    cluster: Cluster,
) -> None:
    recorder = Recorder(lambda category, _priority: category, history=True)
    broker = cluster.bank.domain.broker()
    signaller = Signaller(recorder, broker, "somebody", 24.0)
    cluster.bank.open("acc-0")
    (message, *_) = cluster.bank.log("acc-0")
    began = time.time() // 60 * 60.0

    for at, again in ((-1.0, False), (1.0, False), (-0.5, False), (2.0, True)):
        step = Said("handler.completed", began + at, "account", "LedgerProjector", message, seconds=0.1, again=again)
        recorder._say(step)
    signaller.turn(last=True)

    by_minute = broker.read_minutes([int(began // 60) - 1, int(began // 60)])
    told = [[each for text in by_minute[minute] for each in json.loads(text)] for minute in sorted(by_minute)]
    counts = [
        (Histogram.from_plain(each["latency"]).count, Histogram.from_plain(each["handling"]).count) for (each,) in told
    ]
    assert counts == [(1, 1), (2, 3)]


def test_of_more_steps_than_anybody_can_read_it_is_told_how_many_were_left_out(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOLD", 10)
    recorder = Recorder(lambda category, _priority: category, history=True)
    broker = cluster.bank.domain.broker()
    cluster.bank.open("acc-0")
    (message, *_) = cluster.bank.log("acc-0")
    recorder.watch(True)

    recorder.completed("LedgerProjector", [(message, 0.001)] * 24, again=False)
    recorder.started("LedgerProjector", message)
    Signaller(recorder, broker, "somebody", 24.0).turn(last=True)

    traces, left_out = (json.loads(batch) for _, batch in broker.read_traces("0", 100, 0.0))
    assert (len(traces), left_out) == (10, {"left_out": 15})


def test_what_nobody_could_read_is_not_even_made_until_the_next_turn(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOLD", 10)
    recorder = Recorder(lambda category, _priority: category, history=True)
    cluster.bank.open("acc-0")
    (message, *_) = cluster.bank.log("acc-0")
    recorder.watch(True)

    for _ in range(25):
        recorder.started("LedgerProjector", message)
    recorder.completed("LedgerProjector", [(message, 0.001)], again=False)  # is counted, whoever watches

    assert [said.name for said in recorder.said()] == ["handler.started"] * 10 + ["handler.completed"]
    assert recorder.forgotten() == 15
    recorder.started("LedgerProjector", message)
    assert [said.name for said in recorder.said()] == ["handler.started"]


class Deaf:
    """A broker's observation that does not answer."""

    def watched(self) -> bool:
        raise BrokerUnavailableError("nobody is there")


def test_what_nobody_takes_is_bounded_and_counted(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> None:
    monkeypatch.setattr(module, "UNSEEN", 100)
    recorder = Recorder(lambda category, _priority: category, history=True)
    recorder._said = module.deque(maxlen=100)  # as it would have been made
    cluster.bank.open("acc-0")
    (message, *_) = cluster.bank.log("acc-0")

    recorder.completed("LedgerProjector", [(message, 0.001)] * 150, again=False)

    assert recorder.forgotten() == 50
    assert len(list(recorder.said())) == 100


def test_a_broker_that_does_not_answer_is_said_once_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(lambda category, _priority: category, history=True)
    signaller = Signaller(recorder, Deaf(), "somebody", 24.0)  # type: ignore[arg-type]  # only this one is called
    stopping = threading.Event()
    module_interval = module.WATCH_INTERVAL

    for _ in range(3):
        signaller._asked_at = -module_interval  # as if a second had passed
        signaller.turn()

    stopping.set()
    assert signaller.rounds.last is not None
    assert signaller.rounds.last.failures == 3
    assert len([record for record in caplog.records if record.name == module.__name__]) == 1
