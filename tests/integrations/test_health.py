"""An application's health, in the words of the server's: asked rarely, told at once, and nothing of it a secret."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from fastapi import FastAPI
from tests.integrations.conftest import PATIENCE, Asking, Hold, application, eventually, served
from tests.support.years import Orders, build_orders

from protean.exceptions import DatabaseUnavailableError
from protean.integrations.fastapi import create_health_router, health
from protean.integrations.fastapi.health import Asked

#: More than Starlette has threads for plain endpoints.
MANY = 48


@pytest.mark.proves("protean.integrations.fastapi.create_health_router")
def test_an_application_whose_servers_answer_is_well(orders: Orders) -> None:
    with served(application(orders)) as client:
        alive, ready, health = (client.get(path) for path in ("/livez", "/readyz", "/healthz"))
        head = client.head("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"alive": True, "reasons": []})
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "reasons": []})
    assert (health.status_code, health.json()) == (200, {"status": "ok", "reasons": [], "degraded": []})
    assert (head.status_code, head.content, head.headers["Cache-Control"]) == (200, b"", "no-store")


def test_without_its_broker_an_application_is_degraded_and_takes_commands_all_the_same() -> None:
    orders = build_orders({"brokers": {"default": {"uri": "redis://127.0.0.1:1/0"}}})
    with served(application(orders)) as client:
        assert client.post("/orders/a").status_code == 201
        ready, health = client.get("/readyz"), client.get("/healthz")

    assert ready.status_code == health.status_code == 200
    assert (health.json()["status"], health.json()["degraded"]) == ("degraded", ["the default broker does not answer"])


def test_health_is_told_while_every_thread_is_busy(in_memory: Orders) -> None:
    hold, app = Hold(), application(in_memory, threads=1)

    @app.get("/busy")
    def busy() -> None:
        hold(None)

    in_memory.in_command = hold
    with served(app) as client:
        asking = [Asking(lambda: client.get("/busy")) for _ in range(MANY)]
        asking.append(Asking(lambda: client.post("/orders/a")))
        for _ in range(41):  # Starlette's forty, and ours
            hold.wait()
        assert [client.get(path).status_code for path in ("/livez", "/readyz", "/healthz")] == [200] * 3
        hold.let_go()
        assert {each.answer.status_code for each in asking} == {200, 201}


def test_a_server_is_asked_now_and_then_however_often_somebody_wants_to_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "ASK_INTERVAL", 3600.0)
    questions = []
    asked = Asked("default database", lambda: questions.append(1))

    assert [asyncio.run(asked.complaint()) for _ in range(20)] == [None] * 20
    assert len(questions) == 1


def test_a_server_that_hangs_is_asked_once_and_waited_for_by_nobody_for_long(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "ASK_INTERVAL", 0.0)
    answered, questions = threading.Event(), []

    def hang() -> None:
        questions.append(threading.current_thread().name)
        assert answered.wait(PATIENCE)
        raise DatabaseUnavailableError("secret.example.com is away")

    asked = Asked("default database", hang)

    async def all_at_once() -> Any:
        return await asyncio.gather(*(asked.complaint() for _ in range(50)))

    assert set(asyncio.run(all_at_once())) == {"the default database has not answered yet"}
    assert questions == ["question to the default database"]
    answered.set()
    eventually(lambda: asyncio.run(asked.complaint()) == "the default database does not answer")
    assert [record.message for record in caplog.records] == [
        "The default database is not fit: secret.example.com is away"
    ]


def test_the_paths_may_be_moved_and_are_no_part_of_the_documentation(in_memory: Orders) -> None:
    app = FastAPI()
    app.include_router(create_health_router(in_memory.domain, prefix="/internal"))
    with served(app) as client:
        assert client.get("/internal/readyz").status_code == 200
        assert client.get("/readyz").status_code == 404
        assert "/internal/readyz" not in client.get("/openapi.json").json()["paths"]
