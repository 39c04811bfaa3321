"""The shop over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from examples.shop.tests.conftest import Store
from web import app

TENANT = {"X-Tenant": "mugs.example"}
ORDER = {"customer_id": "ann", "items": [{"sku": "mug", "quantity": 2}], "card": "ok"}


class Client:
    """Asks the application, without a network between the two."""

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self._ask("GET", path))

    def post(self, path: str, **content: Any) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, **content))

    async def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            return await client.request(method, path, **content)


@pytest.fixture
def client(store: Store) -> Client:
    store.stock("mug", 5, "9.50")
    return Client()


def test_an_order_is_placed_once_however_often_it_is_sent_and_shown(client: Client, store: Store) -> None:
    answers = [client.post("/orders", json=ORDER, headers={**TENANT, "Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    order_id = answers[0].json()["order_id"]
    assert answers[1].json()["order_id"] == order_id
    store.hear()
    shown = client.get(f"/orders/{order_id}").json()
    assert (shown["status"], shown["payment"], shown["tenant"]) == ("shipped", "captured", "mugs.example")
    assert shown["total"] == {"amount": "19.00", "currency": "EUR"}
    assert [each["order_id"] for each in client.get("/customers/ann/orders").json()] == [order_id]
    assert [(each["sku"], each["sold"]) for each in client.get("/best-sellers").json()] == [("mug", 2)]


def test_a_count_is_accepted_and_its_result_asked_for(client: Client) -> None:
    accepted = client.post("/stock/mug/counts", json={"counted": 4}, headers=TENANT)
    assert accepted.status_code == 202
    assert client.get(f"/commands/{accepted.json()['command_id']}").json() == {
        "state": "done",
        "result": -1,
        "error": None,
    }


def test_what_the_shop_does_not_do_is_said_in_the_words_of_http(client: Client, store: Store) -> None:
    unknown = {**ORDER, "items": [{"sku": "cup"}]}
    twice = {**ORDER, "items": [{"sku": "mug"}, {"sku": "mug"}]}
    assert client.post("/orders", json=unknown, headers=TENANT).status_code == 404
    assert client.post("/orders", json=twice, headers=TENANT).status_code == 422
    assert client.post("/orders", json={**ORDER, "card": ""}, headers=TENANT).status_code == 422
    assert client.get("/orders/none").status_code == 404
    order_id = client.post("/orders", json=ORDER, headers={**TENANT, "Idempotency-Key": "k"}).json()["order_id"]
    assert client.post("/orders", json=twice, headers={**TENANT, "Idempotency-Key": "k"}).status_code == 409
    store.hear()
    late = client.post(f"/orders/{order_id}/cancellation", json={"reason": "too late"}, headers=TENANT)
    assert (late.status_code, "can only be sent back" in late.text) == (409, True)
