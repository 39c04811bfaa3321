"""The HTTP API: `uvicorn my_app.api:app --port 8000`.

Commands change aggregates; `GET` shows the projection, which the server brings up to date a moment later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path
from pydantic import BaseModel, Field, StringConstraints

from my_app.identity.customer import RegisterCustomer, RenameCustomer
from my_app.identity.customer_view import CustomerView
from my_app.identity.domain import identity
from protean import current_domain
from protean.exceptions import ObjectNotFoundError
from protean.integrations.fastapi import (
    PROBLEM_RESPONSES,
    DomainContextMiddleware,
    IdempotencyKey,
    create_health_router,
    process,
    register_exception_handlers,
)

#: What can stand in a path as it is: what is registered must be readable at /customers/{customer_id}.
READABLE = r"^[A-Za-z0-9_-][A-Za-z0-9._~-]*$"

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
CustomerId = Annotated[str, Path(max_length=255, pattern=READABLE)]


class NewCustomer(BaseModel, extra="forbid"):
    name: Name
    email: Annotated[str, Field(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
    lifetime_spend: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    customer_id: Annotated[str, Field(max_length=255, pattern=READABLE)] | None = None


class NewName(BaseModel, extra="forbid"):
    name: Name


class Registered(BaseModel):
    customer_id: str


class ShownCustomer(BaseModel):
    customer_id: str
    name: str
    email: str
    lifetime_spend: float
    loyalty_tier: str | None


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    identity.init()
    yield
    identity.close()


app = FastAPI(title="Customers", lifespan=lifespan, responses=PROBLEM_RESPONSES)
app.add_middleware(DomainContextMiddleware, domain=identity)
# The aggregate's `id` is called `customer_id` here. Who is not there may be named: the client has done so itself.
register_exception_handlers(app, names={"id": "customer_id"}, told={ObjectNotFoundError: 404})
app.include_router(create_health_router(identity))


@app.post("/customers", status_code=201)
async def register(customer: NewCustomer, key: IdempotencyKey = None) -> Registered:
    command = RegisterCustomer(**customer.model_dump())
    return Registered(customer_id=await process(command, idempotency_key=key))


@app.patch("/customers/{customer_id}", status_code=204)
async def rename(customer_id: CustomerId, change: NewName, key: IdempotencyKey = None) -> None:
    await process(RenameCustomer(customer_id=customer_id, name=change.name), idempotency_key=key)


@app.get("/customers/{customer_id}")
def show(customer_id: CustomerId) -> ShownCustomer:
    """A plain function: FastAPI gives it a thread, and it may wait for the database as it is."""
    view = current_domain.repository_for(CustomerView).get_or_none(customer_id)
    if view is None:
        raise HTTPException(404, f"there is no customer {customer_id!r}; one just registered appears in a moment")
    return ShownCustomer.model_validate(view, from_attributes=True)
