"""The shop over HTTP: `uvicorn web:app --port 8000`.

Commands change what is so; `GET` shows the read model, which follows a moment later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from shop.inventory.stock import CountStock
from shop.ordering.order import CancelOrder, Item, PlaceOrder
from shop.ordering.summary import OrdersOf, OrderSummary
from shop.sales import BestSellers, ProductSales

from protean.exceptions import (
    DatabaseUnavailableError,
    DuplicateCommandError,
    InvalidOperationError,
    ObjectNotFoundError,
    ProteanError,
    ValidationError,
)
from shop.domain import shop

STATUS: dict[type[ProteanError], int] = {
    ObjectNotFoundError: 404,
    DuplicateCommandError: 409,
    InvalidOperationError: 409,
    ValidationError: 422,
    DatabaseUnavailableError: 503,
}

Tenant = Annotated[str, Header(alias="X-Tenant", max_length=100)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]


class Wanted(BaseModel, extra="forbid"):
    sku: str
    quantity: Annotated[int, Field(ge=1, le=100)] = 1


class NewOrder(BaseModel, extra="forbid"):
    customer_id: Annotated[str, Field(min_length=1, max_length=255)]
    items: Annotated[list[Wanted], Field(min_length=1, max_length=20)]
    card: Annotated[str, Field(min_length=1, max_length=100)]


class Cancellation(BaseModel, extra="forbid"):
    reason: Annotated[str, Field(min_length=1, max_length=255)]


class Count(BaseModel, extra="forbid"):
    counted: Annotated[int, Field(ge=0)]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    shop.init()
    yield
    shop.close()


app = FastAPI(title="Shop", lifespan=lifespan)


# The endpoints are plain functions: each runs on a worker thread, so that waiting for the database holds up
# nobody else.


@app.post("/orders", status_code=201)
def place(order: NewOrder, tenant: Tenant, idempotency_key: Key = None) -> dict[str, str]:
    """With an Idempotency-Key, sent twice is ordered once, and answered twice."""
    command = PlaceOrder(
        customer_id=order.customer_id, items=[Item(**item.model_dump()) for item in order.items], card=order.card
    )
    with shop.domain_context(tenant=tenant):
        return {"order_id": shop.process(command, idempotency_key=idempotency_key)}


@app.get("/orders/{order_id}")
def show(order_id: str) -> dict[str, Any]:
    summary = shop.view_for(OrderSummary).get_or_none(order_id)
    if summary is None:
        raise HTTPException(404, f"there is no order {order_id!r}; one just placed appears in a moment")
    return summary.to_dict()


@app.post("/orders/{order_id}/cancellation", status_code=204)
def cancel(order_id: str, cancellation: Cancellation, tenant: Tenant) -> None:
    with shop.domain_context(tenant=tenant):
        shop.process(CancelOrder(order_id=order_id, reason=cancellation.reason))


@app.get("/customers/{customer_id}/orders")
def orders_of(customer_id: str, most: int = 20) -> list[dict[str, Any]]:
    found: list[OrderSummary] = shop.dispatch(OrdersOf(customer_id=customer_id, most=most))
    return [summary.to_dict() for summary in found]


@app.get("/best-sellers")
def best_sellers(most: int = 10) -> list[dict[str, Any]]:
    found: list[ProductSales] = shop.dispatch(BestSellers(most=most))
    return [row.to_dict() for row in found]


@app.post("/stock/{sku}/counts", status_code=202)
def count(sku: str, shelf: Count) -> dict[str, str]:
    """Accepted, and carried out by a server; what came out is at /commands/{command_id}."""
    return {"command_id": shop.process(CountStock(sku=sku, counted=shelf.counted), asynchronous=True)}


@app.get("/commands/{command_id}")
def command(command_id: str) -> dict[str, Any]:
    status = shop.result_of(command_id)
    return {"state": status.state, "result": status.result, "error": status.error}


@app.exception_handler(ProteanError)
def refuse(_request: object, error: ProteanError) -> JSONResponse:
    """What the domain does not do, in the words of HTTP; anything else is a mistake of ours."""
    code = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    if code == 500:
        raise error
    detail = error.messages if isinstance(error, ValidationError) else str(error)
    return JSONResponse({"detail": detail}, code)
