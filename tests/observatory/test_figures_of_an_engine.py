"""What the Observatory says of a real engine: figures, traces and metrics."""

from __future__ import annotations

import json
import threading

from tests.observatory.conftest import Watched, events
from tests.server.conftest import Cluster, wait_for

from protean.utils.processing import Priority, processing_priority


def test_both_lanes_are_told_with_their_latencies(watched: Watched, cluster: Cluster) -> None:
    cluster.start()
    for number in range(5):
        cluster.bank.open(f"acc-{number}")
    with processing_priority(Priority.LOW):
        for number in range(5):
            cluster.bank.deposit(f"acc-{number}")
    cluster.settle()

    wait_for(
        lambda: all(lane["latency"] for lane in watched.json("/api/lanes")["lanes"] if lane["category"] == "account"),
        lambda: str(watched.json("/api/lanes")),
    )
    lanes = {lane["stream"]: lane for lane in watched.json("/api/lanes")["lanes"]}
    assert {"account", "account:backfill"} <= lanes.keys()
    assert all(lanes[stream]["drained"] for stream in ("account", "account:backfill"))
    (ledger,) = [each for each in lanes["account"]["handlers"] if each["name"] == "LedgerProjector"]
    assert ledger["latency"]["count"] == 5
    assert 0 < ledger["handling"]["p50_ms"] <= ledger["latency"]["p50_ms"] < 60_000


def test_the_verdict_names_production_and_what_is_behind(watched: Watched, cluster: Cluster) -> None:
    assert watched.json("/api/overview")["verdict"] == {
        "level": "good",
        "text": "Production has had nothing to do lately",
    }
    cluster.bank.open("acc-0")

    wait_for(lambda: watched.json("/api/overview")["verdict"]["level"] == "bad")
    alert = watched.json("/api/overview")["alerts"][0]
    assert (alert["text"], alert["remedy"]) == (
        "No engine is running, and messages wait",
        "start it with `protean server`",
    )


def test_traces_come_as_server_sent_events_and_go_on_where_one_was(watched: Watched, cluster: Cluster) -> None:
    cluster.start()

    def work() -> None:
        wait_for(lambda: cluster.banks[0].domain.signals.tracing)
        for number in range(3):
            cluster.bank.open(f"acc-{number}")

    working = threading.Thread(target=work)
    working.start()
    told = events(watched, "/stream?event=handler.completed&type=Opened", 3)
    working.join()

    fields = [json.loads(each["data"]) for each in told]
    assert {each["event"] for each in told} == {"trace"}
    assert {(each["event"], each["message_type"], each["stream"]) for each in fields} == {
        ("handler.completed", "Opened", "account")
    }
    again = events(watched, "/stream?event=handler.completed&type=Opened", 2, {"Last-Event-ID": told[0]["id"]})
    assert [each["id"] for each in again] == [each["id"] for each in told[1:]]


def test_figures_come_each_second(watched: Watched) -> None:
    told = [json.loads(each["data"]) for each in events(watched, "/live", 2)]

    assert told[0]["overview"]["at"] < told[1]["overview"]["at"]
    assert {lane["stream"] for lane in told[1]["lanes"]["lanes"]} == {"account", "account:backfill"}


def test_prometheus_is_told_the_same(watched: Watched, cluster: Cluster) -> None:
    cluster.bank.open("acc-0")
    wait_for(lambda: watched.json("/api/lanes")["lanes"][0]["outbox"] == 1)

    text = watched.client.get("/metrics").text

    assert (
        'protean_outbox_pending{category="account",domain="Bank",lane="primary",stream="account"} 1.0'
        in text.replace('domain="bank"', 'domain="Bank"')
    )
    assert "# HELP protean_up 1 when database and broker answer." in text
