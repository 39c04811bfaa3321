"""What surrounds a request, on every database: its domain, its `g`, its correlation id and priority; and no other's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request, WebSocket
from starlette.requests import HTTPConnection
from starlette.types import Message
from tests.integrations.conftest import Asking, application, served
from tests.support.years import Orders

from protean import current_domain, g
from protean.integrations.fastapi import DomainContextMiddleware, current_correlation_id, process, run_in_domain
from protean.priority import Priority, current_priority
from protean.write.context import correlated

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def tenant_of(connection: HTTPConnection) -> dict[str, Any]:
    return {"tenant_id": connection.headers.get("X-Tenant")}


@pytest.mark.proves("protean.integrations.fastapi.DomainContextMiddleware")
@pytest.mark.parametrize("path", ["/orders/a", "/plain/a"])
def test_what_a_request_causes_carries_its_id_its_tenant_and_its_trace(orders: Orders, path: str) -> None:
    headers = {"X-Correlation-ID": "request-1", "X-Tenant": "acme", "traceparent": PARENT}

    with served(application(orders, values=tenant_of)) as client:
        answer = client.post(path, headers=headers)
        assert (answer.status_code, answer.headers["X-Correlation-ID"]) == (201, "request-1")
        (message,) = orders.log("a")

    assert message.correlation_id == "request-1"
    assert message.headers == {"tenant_id": "acme", "traceparent": PARENT}


def test_requests_at_the_same_time_do_not_see_each_others_context(orders: Orders) -> None:
    together = asyncio.Barrier(2)
    app = application(orders, values=tenant_of)

    @app.post("/both/{order_id}")
    async def both(order_id: str) -> list[Any]:
        g.mine = order_id
        await together.wait()
        await process(orders.Place(order_id=order_id, amount=1))
        await together.wait()
        return [g.mine, g.tenant_id, current_correlation_id()]

    with served(app) as client:
        ids = ["a", "b"]

        def ask(x: str) -> Asking:
            headers = {"X-Tenant": f"tenant-{x}", "X-Correlation-ID": x}
            return Asking(lambda: client.post(f"/both/{x}", headers=headers))

        asking = [ask(x) for x in ids]
        assert [each.answer.json() for each in asking] == [[x, f"tenant-{x}", x] for x in ids]
        for x in ids:
            (message,) = orders.log(x)
            assert (message.correlation_id, message.headers["tenant_id"]) == (x, f"tenant-{x}")


def test_what_is_saved_without_a_command_has_the_requests_id_too(orders: Orders) -> None:
    with orders.domain.domain_context(), correlated("request-1"):
        order = orders.order(id="a")
        order.raise_(orders.event("OrderPlaced")(order_id="a", total=1, currency="SEK"))
        current_domain.repository_for(orders.order).add(order)
        orders.domain.process(orders.Ship(order_id="a"), correlation_id="my own")
        assert current_correlation_id() == "request-1"

    assert [message.correlation_id for message in orders.log("a")] == ["request-1", "my own"]
    assert current_correlation_id() is None


def test_a_message_in_hand_passes_on_its_own_id_and_not_that_of_the_job_around(in_memory: Orders) -> None:
    seen = []
    in_memory.in_handler = lambda _event: seen.append(current_correlation_id())

    with in_memory.domain.domain_context(), correlated("job"):
        in_memory.place("a", correlation_id="request")

    assert seen == ["request"]


class TestCorrelation:
    def test_an_id_that_is_none_is_replaced(self, in_memory: Orders) -> None:
        with served(application(in_memory)) as client:
            for given in ("", "x" * 129, "två", "a b"):
                answer = client.get("/ping", headers={b"X-Correlation-ID": given.encode("latin-1")})
                assert (given, len(answer.headers["X-Correlation-ID"])) == (given, 36)

    def test_without_an_id_of_its_own_a_request_has_its_traces(self, in_memory: Orders) -> None:
        believed = [PARENT, f"01-{TRACE}-00f067aa0ba902b7-01-more"]
        passed_over = [
            f"00-{TRACE}-00f067aa0ba902b7-01-more",
            f"ff-{TRACE}-00f067aa0ba902b7-01",
            f"00-{'0' * 32}-00f067aa0ba902b7-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        ]
        with served(application(in_memory)) as client:
            for given in (*believed, *passed_over):
                told = client.get("/ping", headers={"traceparent": given}).headers["X-Correlation-ID"]
                assert (given, told == TRACE) == (given, given in believed)

    def test_an_application_mounted_inside_has_the_id_of_the_one_around(self, in_memory: Orders) -> None:
        inner, outer = application(in_memory), FastAPI()
        outer.add_middleware(DomainContextMiddleware, domain=in_memory.domain)

        @inner.get("/id")
        async def tell() -> str | None:
            return current_correlation_id()

        outer.mount("/inner", inner)
        with served(outer) as client:
            answer = client.get("/inner/id")

        assert answer.headers.get_list("X-Correlation-ID") == [answer.json()]

    def test_the_header_may_have_another_name(self, in_memory: Orders) -> None:
        with served(application(in_memory, correlation_header="X-Request-ID")) as client:
            answer = client.get("/ping", headers={"X-Request-ID": "mine", "X-Correlation-ID": "another"})

        assert answer.headers["X-Request-ID"] == "mine"
        assert "X-Correlation-ID" not in answer.headers


class TestAsked:
    def test_values_may_be_waited_for_and_may_refuse_the_request(self, orders: Orders) -> None:
        async def authenticated(connection: HTTPConnection) -> dict[str, Any]:
            assert await run_in_domain(orders.domain.repository_for(orders.order).query.count) == 0
            if "X-Tenant" not in connection.headers:
                raise HTTPException(401, "say who you are", {"WWW-Authenticate": "Bearer"})
            return tenant_of(connection)

        with served(application(orders, values=authenticated)) as client:
            refused = client.post("/orders/a", headers={"X-Correlation-ID": "request-1"})
            assert client.post("/orders/b", headers={"X-Tenant": "acme"}).status_code == 201
            assert orders.log("a") == []

        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert refused.headers.get_list("X-Correlation-ID") == ["request-1"]
        assert refused.json() == {
            "type": "about:blank",
            "title": "Unauthorized",
            "status": 401,
            "detail": "say who you are",
            "correlation_id": "request-1",
        }

    def test_a_client_has_a_say_in_priorities_only_where_the_application_gives_it_one(self, orders: Orders) -> None:
        def may_wait(connection: HTTPConnection) -> int | None:
            return Priority.LOW if connection.headers.get("X-Priority") == "low" else None

        with served(application(orders)) as client:
            client.post("/orders/a", headers={"X-Priority": "low"})
        with served(application(orders, priority=may_wait)) as client:
            client.post("/orders/b", headers={"X-Priority": "low"})
            client.post("/plain/c", headers={"X-Priority": "low"})
            client.post("/orders/d", headers={"X-Priority": "critical"})
            assert [orders.log(x)[0].priority for x in "abcd"] == [0, Priority.LOW, Priority.LOW, 0]

        assert current_priority() == Priority.NORMAL


def test_a_websocket_has_its_context_and_tells_its_id(in_memory: Orders) -> None:
    app = application(in_memory, values=tenant_of)

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(f"{current_domain.name} {g.tenant_id} {current_correlation_id()}")
        await websocket.close()

    sent = asyncio.run(talk(app, [(b"x-tenant", b"acme"), (b"x-correlation-id", b"ws-1")]))

    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert (b"x-correlation-id", b"ws-1") in list(sent[0]["headers"])
    assert sent[1]["text"] == "orders acme ws-1"


def test_a_websocket_that_is_refused_is_closed_before_it_is_accepted(in_memory: Orders) -> None:
    def nobody(_connection: HTTPConnection) -> dict[str, Any]:
        raise HTTPException(401)

    sent = asyncio.run(talk(application(in_memory, values=nobody), []))

    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]


def test_what_an_endpoint_sets_in_g_is_seen_by_its_commands_and_gone_with_its_request(in_memory: Orders) -> None:
    app = application(in_memory)

    @app.post("/tenant/{tenant}")
    async def place(tenant: str, request: Request) -> bool:
        known = "tenant_id" in g
        g.tenant_id = tenant
        await process(in_memory.Place(order_id=tenant, amount=1))
        return known

    with served(app) as client:
        assert [client.post(f"/tenant/{tenant}").json() for tenant in ("a", "b")] == [False, False]

    assert [seen.tenant for name, seen in in_memory.told if name == "Place"] == ["a", "b"]


async def talk(app: FastAPI, headers: list[tuple[bytes, bytes]]) -> list[Message]:
    """What the application sends to somebody who connects and says nothing."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": "/socket",
        "raw_path": b"/socket",
        "root_path": "",
        "query_string": b"",
        "scheme": "ws",
        "headers": headers,
        "subprotocols": [],
    }
    await app(scope, receive, send)
    return sent
