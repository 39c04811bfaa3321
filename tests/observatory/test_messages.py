"""One message, from every side: its times, its attempts, its family, its data on request; and where others go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from tests.observatory.conftest import Watched, events
from tests.server.conftest import Cluster, wait_for

from protean.message import Message
from protean.server.observatory.app import Access
from protean.server.observatory.sessions import Role

TOKEN = "t" * 32
ACTING = {"authorization": f"Bearer {TOKEN}"}


def last_message(cluster: Cluster, account: str = "a") -> Message:
    return cluster.bank.log(account)[-1]


def nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node["children"] for below in nodes(child))]


def test_a_message_tells_who_failed_at_it_and_what_it_comes_from(watched: Watched, cluster: Cluster) -> None:
    cluster.config["server"]["retry"] = {"max_retries": 0}
    cluster.bank.open("a")
    cluster.bank.rename("a", "Ann")
    cluster.start(fails={"post a"})
    message = last_message(cluster)
    wait_for(lambda: bool(watched.json(f"/api/messages/{message.id}")["attempts"]))

    told = watched.json(f"/api/messages/{message.id}")

    assert (told["message"]["type"], told["message"]["stream"], told["message"]["position"]) == (
        "Renamed",
        "account",
        1,
    )
    assert "Ann" not in str(told)
    ((handler, state),) = [(each["handler"], each["state"]) for each in told["attempts"]]
    assert (handler, state) == ("Postman", "dead")
    assert watched.json(f"/api/dlq/entries/{told['attempts'][0]['place']}")["error_type"] == "ValueError"
    tree = told["tree"]
    assert (tree["kind"], tree["id"]) == ("command", message.causation_id)
    (event,) = tree["children"]
    assert (event["kind"], event["type"], event["here"]) == ("event", "Renamed", True)
    assert {(each["kind"], each["type"], each["state"]) for each in event["children"]} == {
        ("handler", "LedgerProjector", None),
        ("handler", "OwnerProjector", None),
        ("handler", "Postman", "dead"),
    }
    assert told["whole"] is True


def test_its_times_are_known_when_somebody_watched(watched: Watched, cluster: Cluster) -> None:
    cluster.start()

    def work() -> None:
        wait_for(lambda: cluster.banks[0].domain.signals.tracing)
        cluster.bank.open("a")

    working = threading.Thread(target=work)
    working.start()
    events(watched, "/stream?event=handler.completed&type=Opened", 1)
    working.join()
    told = watched.json(f"/api/messages/{last_message(cluster).id}")

    assert {step["event"] for step in told["steps"]} >= {"outbox.published", "handler.completed"}
    timing = told["timing"]
    assert all(timing[name] is not None for name in ("outbox_ms", "stream_ms", "handler_ms", "latency_ms"))
    assert 0 <= timing["outbox_ms"] <= timing["latency_ms"]


def test_data_is_shown_on_request_masked_where_it_must_be_and_on_record(
    observe: Callable[..., Watched], cluster: Cluster
) -> None:
    cluster.config["observatory"] = {"redact": ["Owner"]}
    watched = observe(Access({Role.ALL: TOKEN}))
    watched.client.headers.update(ACTING)
    cluster.bank.open("a")
    cluster.bank.rename("a", "Ann")
    message = last_message(cluster)

    answer = watched.client.post(f"/api/messages/{message.id}/reveal")

    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == {"account_id": "a", "owner": "***", "number": 1}
    assert answer.json()["masked"] == ["owner"]
    (done,) = watched.json("/api/operations")["operations"]
    assert (done["kind"], done["actor"], done["target"]) == ("reveal", "token from 127.0.0.1", f"Renamed {message.id}")
    assert done["result"] == "its data was shown, but owner"
    assert "Ann" not in str(done)


def test_an_id_that_nothing_has_is_not_found(watched: Watched) -> None:
    for message_id in (str(uuid4()), "nonsense", "%00", "💥"):
        answer = watched.client.get(f"/api/messages/{message_id}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown")


def test_where_a_message_goes_is_told_with_the_reasons(watched: Watched) -> None:
    told = watched.json("/api/route?type=Renamed&priority=-50")
    assert (told["lane"], told["stream"]) == ("backfill", "account:backfill")
    assert told["handlers"] == ["LedgerProjector", "OwnerProjector", "Postman"]
    assert "priority -50 is below the threshold 0: it may wait, on the backfill lane" in told["reasons"]
    assert watched.json("/api/route?type=Deposit")["stream"] == "account:command"
    missing = watched.client.get("/api/route?type=Renamd")
    assert (missing.status_code, "Renamed" in missing.json()["error"]["message"]) == (404, True)
    assert watched.client.get("/api/route?type=Renamed&priority=200").status_code == 422


def test_the_configuration_is_shown_without_its_secrets(observe: Callable[..., Watched], cluster: Cluster) -> None:
    cluster.config["custom"] = {
        "api_token": "abc123",
        "mail": {"dsn": "smtp://u:abc123@h"},
        "url": "http://u:abc123@h",
        "secrets": {"shop": "abc123", "pins": [7731]},
    }
    told = observe().json("/api/config")
    assert told["config"]["server"]["priority_lanes"]["enabled"] is True
    assert told["config"]["custom"] == {
        "api_token": "***",
        "mail": {"dsn": "***"},
        "url": "http://u:***@h",
        "secrets": {"shop": "***", "pins": ["***"]},
    }
    assert "abc123" not in str(told)


def test_subscriptions_say_who_reads_and_what_failed(watched: Watched, cluster: Cluster) -> None:
    cluster.config["server"]["retry"] = {"max_retries": 0}
    cluster.bank.open("a")
    cluster.start(fails={"a"})

    def ledger() -> dict[str, Any]:
        told = watched.json("/api/subscriptions")["subscriptions"]
        (found,) = [each for each in told if (each["handler"], each["stream"]) == ("LedgerProjector", "account")]
        return dict(found)

    wait_for(lambda: ledger()["dead"] == 1, lambda: str(ledger()))
    assert (ledger()["exists"], ledger()["waiting"], len(ledger()["consumers"])) == (True, 0, 1)
