"""A request that is sent again under its key is carried out once, on every database."""

from __future__ import annotations

import pytest
from tests.integrations.conftest import application, served
from tests.support.years import Orders


def commands(orders: Orders) -> int:
    return sum(name == "Place" for name, _ in orders.told)


@pytest.mark.proves("protean.integrations.fastapi.IdempotencyKey")
def test_a_request_with_a_key_is_carried_out_once_and_the_key_is_good_for_no_other(orders: Orders) -> None:
    with served(application(orders)) as client:
        for key in ("key-1", "key-1", '"key-1"'):  # the draft's quotes are no part of the key
            assert client.post("/orders/a", headers={"Idempotency-Key": key}).status_code == 201
        assert commands(orders) == len(orders.log("a")) == 1

        other = client.post("/orders/b", headers={"Idempotency-Key": "key-1"})
        assert (other.status_code, other.json()["type"].rpartition(":")[2]) == (409, "idempotency-key-in-use")
        assert orders.log("b") == []

        assert client.post("/orders/a").status_code == 422  # without one it is another request


def test_a_key_that_is_none_is_refused_by_name(in_memory: Orders) -> None:
    with served(application(in_memory)) as client:
        for key in ("", "a b", '"', '"a', "x" * 256, "två", 'a"b'):
            refused = client.post("/orders/a", headers={b"Idempotency-Key": key.encode("latin-1")})
            named = [error["field"] for error in refused.json()["errors"]]
            assert (key, refused.status_code, named) == (key, 422, ["Idempotency-Key"])

    assert in_memory.log("a") == []


def test_a_key_may_be_required_and_is_a_part_of_the_documentation(in_memory: Orders) -> None:
    app = application(in_memory)
    with served(app) as client:
        refused = client.put("/orders/a")
        assert client.put("/orders/a", headers={"Idempotency-Key": "key-1"}).status_code == 201

    assert (refused.status_code, "Idempotency-Key" in refused.json()["detail"]) == (400, True)
    (header,) = [
        each for each in app.openapi()["paths"]["/orders/{order_id}"]["put"]["parameters"] if each["in"] == "header"
    ]
    assert header["name"] == "Idempotency-Key"
