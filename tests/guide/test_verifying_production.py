"""Verifying production traffic: the test request, its latency and the primary stream, thousands waiting in backfill."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import pytest
from tests.cli.conftest import Running, eventually
from tests.guide.application import PATIENCE, PRODUCTION, SCRIPT, Application
from tests.guide.redis_cli import READERS, Reader
from tests.guide.text import block

from protean.cli.demo.children import answers_http, free_port

CUSTOMERS = 1_500
#: Events that must be waiting for the guide's promise to be tried at all.
THOUSANDS = 1_000
#: The guide's "within a few seconds".
A_FEW_SECONDS = 3.0
POST, GET = block("2. Send a Test Request").commands
BODY = re.findall(r"-d '(.*)'", POST)[0]
#: The database writes down when a customer came into the read model: a look from outside would add its own time.
NOTE = """
CREATE TABLE shown_at (customer_id text, at timestamptz);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO shown_at VALUES (NEW.customer_id, clock_timestamp()); RETURN NEW; END$$;
CREATE TRIGGER note AFTER INSERT ON customer_view FOR EACH ROW EXECUTE FUNCTION note()
"""


@dataclass
class Busy:
    """A server, the API, and the guide's script under way; backfill stands still until it is let go."""

    app: Application
    port: int
    migration: Running
    idle: list[float]
    let_go: Callable[[], None]

    def waiting(self) -> int:
        return self.app.length("customer:backfill")


@pytest.fixture(scope="module")
def busy(shared: Application) -> Iterator[Busy]:
    port = free_port()
    shared.register(CUSTOMERS)
    shared.server()
    shared.start(sys.executable, "-m", "uvicorn", "my_app.api:app", "--port", str(port))
    shared.drain()
    eventually(lambda: answers_http(port), PATIENCE, shared.log)
    shared.sql(NOTE)
    idle = latencies(shared, "Idle")
    hold = shared.held()
    hold.__enter__()
    held = True

    def let_go() -> None:
        nonlocal held
        if held:
            held = False
            hold.__exit__(None, None, None)

    migration = shared.start(sys.executable, SCRIPT)
    eventually(lambda: shared.length("customer:backfill") >= THOUSANDS, PATIENCE, shared.log)
    yield Busy(shared, port, migration, idle, let_go)
    let_go()


def with_http(busy: Busy) -> dict[str, Any]:
    """The printed request by Python's own means."""
    connection = http.client.HTTPConnection("localhost", busy.port, timeout=10)
    connection.request("POST", "/customers", BODY, {"Content-Type": "application/json"})
    customer_id = json.load(connection.getresponse())["customer_id"]

    def show() -> dict[str, Any]:
        connection.request("GET", f"/customers/{customer_id}")
        shown: dict[str, Any] = json.load(connection.getresponse())
        return shown

    try:
        return shown_within_seconds(show)
    finally:
        connection.close()


def with_curl(busy: Busy) -> dict[str, Any]:
    """The printed lines in a shell."""

    def curl(line: str) -> dict[str, Any]:
        command = line.replace("curl ", "curl --silent --show-error ", 1).replace(":8000", f":{busy.port}")
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    customer_id = curl(POST)["customer_id"]
    return shown_within_seconds(lambda: curl(GET.replace("<customer_id>", customer_id)))


SENDERS = [with_http, *([with_curl] if shutil.which("curl") else [])]


@pytest.mark.parametrize("send", SENDERS)
def test_the_test_request_is_shown_within_seconds_although_thousands_wait(
    busy: Busy, send: Callable[[Busy], dict[str, Any]]
) -> None:
    assert busy.waiting() >= THOUSANDS

    shown = send(busy)

    assert {"name": shown["name"], "email": shown["email"]} == json.loads(BODY)
    assert shown["customer_id"]
    assert busy.waiting() >= THOUSANDS


def test_from_outbox_to_read_model_it_takes_no_longer_than_before_the_migration(busy: Busy) -> None:
    """The bound is wide: this machine also runs the migration and whatever else. Waiting for backfill is seconds."""
    during = latencies(busy.app, "During")

    assert busy.waiting() >= THOUSANDS
    assert median(during) <= max(5 * median(busy.idle), 0.25), (median(busy.idle), median(during))


def test_a_customer_whose_migration_is_waiting_is_renamed_at_once(busy: Busy) -> None:
    """Production brings the waiting events of this one customer along: nothing is overtaken, nothing lost."""
    newest: Any = busy.app.broker.xrevrange("customer:backfill", count=1)
    customer_id = json.loads(newest[0][1]["data"])["data"]["customer_id"]
    assert shown(busy.app, customer_id)[1] is None

    connection = http.client.HTTPConnection("localhost", busy.port, timeout=10)
    body = json.dumps({"name": "Renamed"})
    connection.request("PATCH", f"/customers/{customer_id}", body, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 204
    connection.close()

    eventually(lambda: shown(busy.app, customer_id)[0] == "Renamed", A_FEW_SECONDS, busy.app.log)
    assert shown(busy.app, customer_id)[1] is not None
    assert busy.waiting() >= THOUSANDS


@pytest.mark.parametrize("read", READERS)
def test_the_primary_stream_stays_near_zero(busy: Busy, read: Reader) -> None:
    """Watched as printed, only more often. Without a request under way, near 0 is 0 (one: a look in between)."""
    (watch,) = block("3. Monitor Primary Stream Length").commands
    command = re.findall(r'"(redis-cli .*)"', watch)[0]

    lengths: list[int] = []
    for _ in range(10):
        lengths += map(int, read(busy.app.broker_url, command))
        time.sleep(0.02)

    assert max(lengths) <= 1
    assert busy.waiting() >= THOUSANDS


def test_let_go_backfill_drains_and_the_read_model_is_right(busy: Busy) -> None:
    """The last of the chapter, for nothing waits any more afterwards."""
    assert busy.migration.ended(PATIENCE) == 0
    busy.let_go()
    busy.app.drain()

    assert " migrated, 0 errors, " in busy.migration.lines[-1]
    assert busy.app.stale() == []


def shown(app: Application, customer_id: str) -> tuple[Any, ...]:
    ((name, tier),) = app.sql("SELECT name, loyalty_tier FROM customer_view WHERE customer_id = %s", customer_id)
    return name, tier


def shown_within_seconds(show: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    deadline = time.monotonic() + A_FEW_SECONDS
    while "name" not in (answer := show()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.01)
    return answer


def latencies(app: Application, name: str) -> list[float]:
    """Seconds from each event's outbox row to the row of the read model, by the database's clock."""
    app.python("-c", PRODUCTION, "40", "0.02", name)
    counted = "SELECT count(*) FROM customer_view WHERE name LIKE %s"
    eventually(lambda: app.one(counted, f"{name} %") == 40, A_FEW_SECONDS, app.log)
    found = app.sql(
        "SELECT extract(epoch FROM s.at - o.created_at)::float FROM outbox o "
        "JOIN messages m USING (message_id) JOIN shown_at s ON s.customer_id = m.data->>'customer_id' "
        "WHERE m.type = 'CustomerRegistered' AND m.data->>'name' LIKE %s",
        f"{name} %",
    )
    assert len(found) == 40
    return [seconds for (seconds,) in found]
